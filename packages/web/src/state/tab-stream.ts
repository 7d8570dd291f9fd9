import { decodeFrame, isRecord } from "./decode.ts";
import type { LogInput } from "./log.ts";

export interface ConnectionState {
  state: "connecting" | "live" | "reconnecting";
  /** When the last frame came, ms since the epoch; 0 before the first. */
  lastFrameMs: number;
  /** Tries since the connection was lost. */
  attempt: number;
}

/** One session that the tab follows. */
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

export interface Followed {
  id: string;
  after: number;
  drafts: boolean;
}

export interface TabStreamOptions {
  /** The stream's address for these sessions. */
  url: (followed: readonly Followed[]) => string;
  /** The server refused with an HTTP error (the browser does not say which). */
  onRefused: () => void;
  random?: () => number;
}

/** Wait before try `attempt` (from 1): doubles up to 5 s, with up to a quarter taken off so that tabs spread out. */
export function reconnectDelayMs(attempt: number, random: number): number {
  const full = Math.min(5_000, 250 * 2 ** (attempt - 1));
  return Math.round(full * (1 - random / 4));
}

/** Silence longer than this is a dead connection: the server sends heartbeats more often. */
export const stallMs = 60_000;
/** A tab hidden for so long gives its connection back (a browser has six per origin) and resumes when shown. */
const hiddenCloseMs = 60_000;
/** What is asked for in one go opens one connection. */
const gatherMs = 20;
/** How many sessions the server follows over one connection. */
const maxFollowed = 100;

/**
 * The tab's one connection, whatever it shows. We reconnect ourselves instead of leaving it to the browser: the cursors
 * are then always the reducers', also after a hole, and it comes back at once when the tab or the network does.
 */
export class TabStream implements Disposable {
  readonly #options: TabStreamOptions;
  readonly #followers = new Map<string, Follower>();
  /** Whom the open connection serves. */
  #served = new Map<string, Followed>();
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #gather: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #hiddenTimer: ReturnType<typeof setTimeout> | undefined;
  #state: ConnectionState = { state: "connecting", lastFrameMs: 0, attempt: 0 };
  readonly #listeners = new AbortController();

  constructor(options: TabStreamOptions) {
    this.#options = options;
    const on = { signal: this.#listeners.signal };
    addEventListener("online", () => this.#wake(), on);
    addEventListener("offline", () => this.#lost(), on);
    document.addEventListener("visibilitychange", () => this.#onVisibility(), on);
    this.#watch = setInterval(() => this.#checkStall(), 5_000);
  }

  /** Follows a session until the answer is disposed of. A later follower of the same session takes its place. */
  follow(follower: Follower): Disposable {
    this.#followers.delete(follower.id);
    this.#followers.set(follower.id, follower);
    this.#changed();
    return {
      [Symbol.dispose]: () => {
        if (this.#followers.get(follower.id) !== follower) return;
        this.#followers.delete(follower.id);
        if (this.#followers.size === 0) this.#close();
      },
    };
  }

  /** Opens again from the cursors, for instance to fill a hole. */
  reopen(): void {
    this.#close();
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#listeners.abort();
    clearInterval(this.#watch);
    clearTimeout(this.#hiddenTimer);
    clearTimeout(this.#gather);
    this.#close();
  }

  /** Whoever is not served yet needs another connection; whoever left costs nothing but the bytes of their events. */
  #changed(): void {
    clearTimeout(this.#gather);
    this.#gather = setTimeout(() => {
      const wanted = this.#wanted();
      const served = wanted.every(
        ({ id, drafts }) => this.#served.has(id) && (!drafts || this.#served.get(id)?.drafts),
      );
      if (this.#source && served) return;
      // While it is lost, the next try asks for the new set.
      if (this.#state.state !== "reconnecting" && !document.hidden) this.#open();
    }, gatherMs);
  }

  #wanted(): Followed[] {
    const all = [...this.#followers.values()].map(({ id, drafts, cursor }) => ({ id, drafts, after: cursor() }));
    return all.sort((a, b) => Number(b.drafts) - Number(a.drafts)).slice(0, maxFollowed);
  }

  #open(): void {
    const planned = this.#source !== null;
    this.#close();
    if (this.#followers.size === 0) return;
    if (planned) this.#toAll({ type: "disconnected" });
    const wanted = this.#wanted();
    this.#served = new Map(wanted.map((followed) => [followed.id, followed]));
    const source = new EventSource(this.#options.url(wanted));
    this.#source = source;
    source.onopen = () => this.#set({ state: "live", attempt: 0, lastFrameMs: Date.now() });
    source.onmessage = (message: MessageEvent<string>) => this.#onMessage(message);
    source.addEventListener("ping", (message: MessageEvent<string>) => this.#onPing(message));
    source.onerror = () => {
      const refused = source.readyState === EventSource.CLOSED;
      this.#lost();
      if (refused) this.#options.onRefused();
    };
  }

  #onMessage(message: MessageEvent<string>): void {
    this.#state = { ...this.#state, lastFrameMs: Date.now() };
    const data = parse(message.data);
    const follower = isRecord(data) ? this.#followers.get(String(data.session_id)) : undefined;
    if (!isRecord(data) || !follower) return;
    const { session_id: _, ...value } = data;
    const decoded = decodeFrame(value);
    if (decoded.kind === "event") follower.onInput({ type: "event", event: decoded.event });
    else if (decoded.kind === "draft" && follower.drafts) follower.onInput({ type: "draft", frame: decoded.frame });
  }

  #onPing(message: MessageEvent<string>): void {
    this.#state = { ...this.#state, lastFrameMs: Date.now() };
    const data = parse(message.data);
    if (!isRecord(data)) return;
    if (data.type === "holdfast.stream_error") this.#followers.get(String(data.session_id))?.onGone();
    if (data.type !== "holdfast.stream" || !isRecord(data.sessions)) return;
    for (const [id, verdict] of Object.entries(data.sessions)) {
      if (!isRecord(verdict) || verdict.verdict !== "gap") continue;
      const otherLog = Number(verdict.last_seq) < (this.#served.get(id)?.after ?? 0);
      this.#followers.get(id)?.onGap(otherLog);
    }
  }

  #toAll(input: LogInput): void {
    for (const follower of this.#followers.values()) follower.onInput(input);
  }

  #lost(): void {
    if (!this.#source) return;
    this.#close();
    this.#toAll({ type: "disconnected" });
    this.#schedule();
  }

  #schedule(): void {
    const attempt = this.#state.attempt + 1;
    this.#set({ state: "reconnecting", attempt });
    if (!navigator.onLine) return;
    const waitMs = reconnectDelayMs(attempt, (this.#options.random ?? Math.random)());
    this.#timer = setTimeout(() => this.#open(), waitMs);
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #wake(): void {
    if (!this.#source) this.#open();
  }

  #onVisibility(): void {
    clearTimeout(this.#hiddenTimer);
    if (document.visibilityState === "hidden") {
      this.#hiddenTimer = setTimeout(() => {
        this.#close();
        this.#toAll({ type: "disconnected" });
      }, hiddenCloseMs);
      return;
    }
    // Browsers drop connections of background tabs without a word.
    if (Date.now() - this.#state.lastFrameMs > stallMs / 2) this.#lost();
    this.#wake();
  }

  #checkStall(): void {
    if (this.#state.state === "live" && this.#source && Date.now() - this.#state.lastFrameMs > stallMs) this.#lost();
  }

  #set(change: Partial<ConnectionState>): void {
    this.#state = { ...this.#state, ...change };
    for (const { id, onState } of this.#followers.values()) if (this.#served.has(id)) onState?.(this.#state);
  }
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    // A frame that is not JSON carries nothing for us; a missing event shows as a hole in `seq` and is fetched again.
    return null;
  }
}
