import { isRecord } from "../decode.ts";
import { streamUrl } from "./address.ts";
import type { ConnectionState, Followed, HubMessage, PageMessage } from "./messages.ts";

/** One page, as the hub sees it. */
export interface Port {
  post: (message: HubMessage) => void;
}

/** What the hub uses of an EventSource. */
export type Source = Pick<
  EventSource,
  "onopen" | "onmessage" | "onerror" | "readyState" | "close" | "addEventListener"
>;

export interface HubOptions {
  open: (url: string) => Source;
  random?: () => number;
}

interface Client {
  visible: boolean;
  heardMs: number;
  /** In the page's order. `after` counts up with what is sent to it. */
  followed: Map<string, Followed>;
}

/** Wait before try `attempt` (from 1): doubles up to 5 s, with up to a quarter taken off so that browsers spread out. */
export function reconnectDelayMs(attempt: number, random: number): number {
  const full = Math.min(5_000, 250 * 2 ** (attempt - 1));
  return Math.round(full * (1 - random / 4));
}

/** Silence longer than this is a dead connection: the server sends heartbeats more often. */
export const stallMs = 60_000;
/** When no page has been in view for so long, the connection is given back; it resumes with the first that is. */
export const hiddenCloseMs = 60_000;
/** A page says something every half minute, or every minute in the background; one that is frozen or gone does not. */
export const silentPageMs = 150_000;
/** What is asked for in one go opens one connection. */
const gatherMs = 20;
/** How many sessions the server follows over one connection. */
const maxFollowed = 100;

/**
 * The one connection of a browser, for all of its pages. We reconnect ourselves instead of leaving it to the browser:
 * the cursors are then always those of the pages, also after a hole, and it comes back at once when the network does.
 */
export class StreamHub implements Disposable {
  readonly #options: HubOptions;
  readonly #clients = new Map<Port, Client>();
  /** Whom the open connection serves; `after` is where it is. */
  #served = new Map<string, Followed>();
  #source: Source | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #gather: ReturnType<typeof setTimeout> | undefined;
  #hidden: ReturnType<typeof setTimeout> | undefined;
  readonly #watch: ReturnType<typeof setInterval>;
  #state: ConnectionState = { state: "connecting", lastFrameMs: 0, attempt: 0 };

  constructor(options: HubOptions) {
    this.#options = options;
    this.#watch = setInterval(() => this.#look(), 5_000);
  }

  /** How many pages there are. */
  get pages(): number {
    return this.#clients.size;
  }

  /** Whether another page than this one is in view. */
  othersInView(port: Port): boolean {
    return [...this.#clients].some(([each, { visible }]) => each !== port && visible);
  }

  receive(port: Port, message: PageMessage): void {
    const client = this.#clients.get(port);
    if (message.type === "bye") this.#drop(port);
    else if (message.type === "want") this.#want(port, client, message);
    else if (client === undefined) port.post({ type: "who" });
    else this.wake();
  }

  /** The network is back, or somebody looks again. */
  wake(): void {
    // Browsers drop connections of the background without a word.
    if (this.#source && Date.now() - this.#state.lastFrameMs > stallMs / 2) this.#lost();
    if (!this.#source && this.#inView()) this.#open();
  }

  /** The network is gone. */
  lost(): void {
    this.#lost();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#watch);
    clearTimeout(this.#gather);
    clearTimeout(this.#hidden);
    this.#close();
    this.#clients.clear();
  }

  #want(port: Port, before: Client | undefined, message: Extract<PageMessage, { type: "want" }>): void {
    const followed = new Map<string, Followed>();
    for (const { id, after, drafts } of message.followed) {
      const sent = message.again === true ? 0 : (before?.followed.get(id)?.after ?? 0);
      followed.set(id, { id, drafts, after: Math.max(after, sent) });
    }
    this.#clients.set(port, { visible: message.visible, heardMs: Date.now(), followed });
    if (before === undefined) this.#tell(port);
    this.#watchHidden();
    this.#changed();
  }

  #drop(port: Port): void {
    if (!this.#clients.delete(port)) return;
    if (this.#clients.size === 0) this.#close();
    else this.#watchHidden();
  }

  #inView(): boolean {
    return [...this.#clients.values()].some(({ visible }) => visible);
  }

  /** Whoever is not served yet needs another connection; whoever left costs nothing but the bytes of their events. */
  #changed(): void {
    clearTimeout(this.#gather);
    this.#gather = setTimeout(() => {
      const served = this.#wanted().every(({ id, drafts, after }) => {
        const known = this.#served.get(id);
        return known !== undefined && (!drafts || known.drafts) && after >= known.after;
      });
      // While it is lost, the next try asks for the new set.
      const asks = this.#state.state !== "reconnecting" && this.#inView();
      if (asks && !(this.#source && served)) this.#open();
      // Also the answer to a sign of life.
      this.#tellAll();
    }, gatherMs);
  }

  /** What all pages want, the most urgent first: what is open in view, what is open, what is listed. */
  #wanted(): Followed[] {
    const all = new Map<string, Followed & { rank: number }>();
    for (const { visible, followed } of this.#clients.values()) {
      for (const { id, after, drafts } of followed.values()) {
        const rank = (drafts ? 0 : 2) + (visible ? 0 : 1);
        const known = all.get(id) ?? { id, after, drafts, rank };
        all.set(id, {
          id,
          after: Math.min(after, known.after),
          drafts: drafts || known.drafts,
          rank: Math.min(rank, known.rank),
        });
      }
    }
    return [...all.values()]
      .sort((a, b) => a.rank - b.rank)
      .slice(0, maxFollowed)
      .map(({ id, after, drafts }) => ({ id, after, drafts }));
  }

  #open(): void {
    const planned = this.#source !== null;
    this.#close();
    if (planned) this.#post({ type: "disconnected" });
    const wanted = this.#wanted();
    if (wanted.length === 0) return;
    this.#served = new Map(wanted.map((followed) => [followed.id, followed]));
    const source = this.#options.open(streamUrl(wanted));
    this.#source = source;
    source.onopen = () => this.#set({ state: "live", attempt: 0, lastFrameMs: Date.now() });
    source.onmessage = (message: MessageEvent<string>) => this.#onMessage(message);
    source.addEventListener("ping", (message: MessageEvent<string>) => this.#onPing(message));
    source.onerror = () => {
      // EventSource.CLOSED
      const refused = source.readyState === 2;
      this.#lost();
      if (refused) this.#post({ type: "refused" });
    };
  }

  #onMessage(message: MessageEvent<string>): void {
    this.#state = { ...this.#state, lastFrameMs: Date.now() };
    const data = parse(message.data);
    if (!isRecord(data)) return;
    const { session_id: sessionId, ...value } = data;
    const id = String(sessionId);
    const seq = typeof value.seq === "number" ? value.seq : undefined;
    const served = this.#served.get(id);
    if (seq !== undefined && served) served.after = Math.max(served.after, seq);
    for (const [port, { followed }] of this.#clients) {
      const follows = followed.get(id);
      if (follows === undefined) continue;
      if (seq === undefined) {
        if (follows.drafts) port.post({ type: "frame", id, value });
      } else if (seq > follows.after) {
        follows.after = seq;
        port.post({ type: "frame", id, value });
      }
    }
  }

  #onPing(message: MessageEvent<string>): void {
    this.#state = { ...this.#state, lastFrameMs: Date.now() };
    const data = parse(message.data);
    if (!isRecord(data)) return;
    if (data.type === "holdfast.stream_error") this.#postOn(String(data.session_id), (id) => ({ type: "gone", id }));
    if (data.type !== "holdfast.stream" || !isRecord(data.sessions)) return;
    for (const [id, verdict] of Object.entries(data.sessions)) {
      if (!isRecord(verdict) || verdict.verdict !== "gap") continue;
      const after = Number(verdict.after) || 0;
      const served = this.#served.get(id);
      if (served) served.after = after;
      for (const { followed } of this.#clients.values()) {
        const follows = followed.get(id);
        if (follows) follows.after = Math.min(follows.after, after);
      }
      this.#postOn(id, () => ({ type: "gap", id, lastSeq: Number(verdict.last_seq) }));
    }
  }

  #lost(): void {
    if (!this.#source) return;
    this.#close();
    this.#post({ type: "disconnected" });
    this.#schedule();
  }

  #schedule(): void {
    const attempt = this.#state.attempt + 1;
    this.#set({ state: "reconnecting", attempt });
    if (!navigator.onLine) return;
    const waitMs = reconnectDelayMs(attempt, (this.#options.random ?? Math.random)());
    this.#retry = setTimeout(() => this.#open(), waitMs);
  }

  #close(): void {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #watchHidden(): void {
    if (this.#inView()) {
      clearTimeout(this.#hidden);
      this.#hidden = undefined;
      return;
    }
    this.#hidden ??= setTimeout(() => {
      this.#hidden = undefined;
      if (this.#inView()) return;
      this.#close();
      this.#post({ type: "disconnected" });
      // The next that is in view opens it at once.
      this.#set({ state: "connecting", attempt: 0 });
    }, hiddenCloseMs);
  }

  #look(): void {
    const nowMs = Date.now();
    for (const [port, { heardMs }] of this.#clients) if (nowMs - heardMs > silentPageMs) this.#drop(port);
    if (this.#state.state === "live" && this.#source && nowMs - this.#state.lastFrameMs > stallMs) this.#lost();
  }

  #set(change: Partial<ConnectionState>): void {
    this.#state = { ...this.#state, ...change };
    this.#tellAll();
  }

  #tellAll(): void {
    for (const port of this.#clients.keys()) this.#tell(port);
  }

  #tell(port: Port): void {
    const followed = this.#clients.get(port)?.followed ?? new Map<string, Followed>();
    const served = [...followed.keys()].filter((id) => this.#served.has(id));
    port.post({ type: "state", connection: this.#state, served });
  }

  #post(message: HubMessage): void {
    for (const port of this.#clients.keys()) port.post(message);
  }

  #postOn(id: string, message: (id: string) => HubMessage): void {
    for (const [port, { followed }] of this.#clients) if (followed.has(id)) port.post(message(id));
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
