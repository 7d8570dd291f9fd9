import { decodeFrame, isRecord } from "../decode.ts";
import type { LogInput } from "../log.ts";
import { linkToHub } from "./link.ts";
import type { ConnectionState, HubLink, HubMessage, Listener } from "./messages.ts";

/** One session that the page follows. */
export interface Follower {
  id: string;
  /** Seq of the last event that is held without a hole. */
  cursor: () => number;
  /** Wants live text, too. */
  drafts: boolean;
  onInput: (input: LogInput) => void;
  /** The server cannot go on from our cursor. `otherLog`: what we hold is not of its log. */
  onGap: (otherLog: boolean) => void;
  /** The session is not there any more. */
  onGone: () => void;
  /** Of the connection, as far as it serves this session. */
  onState?: (state: ConnectionState) => void;
}

export interface PageStreamOptions {
  /** The server refused with an HTTP error (the browser does not say which). */
  onRefused: () => void;
  /** Nothing comes by itself any more: why and what to do. */
  onTrouble: (text: string) => void;
  link?: (listener: Listener) => HubLink;
}

/** A sign of life this often; the hub forgets whom it has not heard of for some minutes. */
const aliveMs = 30_000;
/** A hub that has said nothing to two signs of life is gone: another one is looked for. */
const deafMs = 75_000;

/** What the page follows, over the one stream of its browser. */
export class PageStream implements Disposable {
  readonly #options: PageStreamOptions;
  readonly #followers = new Map<string, Follower>();
  readonly #listeners = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  #link: HubLink;
  #heardMs = Date.now();
  #asked = false;

  constructor(options: PageStreamOptions) {
    this.#options = options;
    this.#link = this.#connect();
    const on = { signal: this.#listeners.signal };
    document.addEventListener("visibilitychange", () => this.#onVisibility(), on);
    addEventListener("online", () => this.#link.post({ type: "wake" }), on);
    addEventListener("pagehide", () => this.#link.post({ type: "bye" }), on);
    window.addEventListener("pageshow", ({ persisted }) => persisted && this.#want({ again: true }), on);
    document.addEventListener("resume", () => this.#want({ again: true }), on);
    this.#timer = setInterval(() => this.#alive(), aliveMs);
  }

  /** Follows a session until the answer is disposed of. A later follower of the same session takes its place. */
  follow(follower: Follower): Disposable {
    this.#followers.delete(follower.id);
    this.#followers.set(follower.id, follower);
    this.#soon();
    return {
      [Symbol.dispose]: () => {
        if (this.#followers.get(follower.id) !== follower) return;
        this.#followers.delete(follower.id);
        this.#soon();
      },
    };
  }

  /** Opens again from our cursors, for instance to fill a hole. */
  reopen(): void {
    this.#want({ again: true });
  }

  [Symbol.dispose](): void {
    this.#listeners.abort();
    clearInterval(this.#timer);
    this.#link[Symbol.dispose]();
  }

  #connect(): HubLink {
    return (this.#options.link ?? linkToHub)((message) => this.#onMessage(message));
  }

  /** What changes in one go is said once. */
  #soon(): void {
    if (this.#asked) return;
    this.#asked = true;
    queueMicrotask(() => {
      this.#asked = false;
      if (!this.#listeners.signal.aborted) this.#want();
    });
  }

  #want(more: { again?: boolean } = {}): void {
    const followed = [...this.#followers.values()].map(({ id, drafts, cursor }) => ({ id, drafts, after: cursor() }));
    this.#link.post({ type: "want", followed, visible: !document.hidden, ...more });
  }

  #alive(): void {
    if (!document.hidden && Date.now() - this.#heardMs > deafMs) {
      this.#link[Symbol.dispose]();
      this.#heardMs = Date.now();
      this.#link = this.#connect();
    }
    this.#want();
    this.#link.post({ type: "wake" });
  }

  #onVisibility(): void {
    this.#want();
    if (!document.hidden) this.#link.post({ type: "wake" });
  }

  #onMessage(message: HubMessage): void {
    this.#heardMs = Date.now();
    switch (message.type) {
      case "state":
        for (const id of message.served) this.#followers.get(id)?.onState?.(message.connection);
        return;
      case "frame":
        this.#onFrame(message.id, message.value);
        return;
      case "gap": {
        const follower = this.#followers.get(message.id);
        follower?.onGap(message.lastSeq < follower.cursor());
        return;
      }
      case "gone":
        this.#followers.get(message.id)?.onGone();
        return;
      case "disconnected":
        for (const follower of this.#followers.values()) follower.onInput({ type: "disconnected" });
        return;
      case "refused":
        this.#options.onRefused();
        return;
      case "trouble":
        this.#options.onTrouble(message.text);
        return;
      case "who":
        this.#want({ again: true });
        return;
    }
  }

  #onFrame(id: string, value: unknown): void {
    const follower = this.#followers.get(id);
    if (!follower || !isRecord(value)) return;
    const decoded = decodeFrame(value);
    if (decoded.kind === "event") follower.onInput({ type: "event", event: decoded.event });
    else if (decoded.kind === "draft" && follower.drafts) follower.onInput({ type: "draft", frame: decoded.frame });
  }
}
