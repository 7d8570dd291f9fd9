import { decodeFrame, isRecord } from "./decode.ts";
import type { LogInput } from "./log.ts";

export interface ConnectionState {
  state: "connecting" | "live" | "reconnecting";
  /** When the last frame came, ms since the epoch; 0 before the first. */
  lastFrameMs: number;
  /** Tries since the connection was lost. */
  attempt: number;
}

export interface EventStreamOptions {
  /** The stream's address, to go on after this `seq`. */
  url: (after: number) => string;
  /** Seq of the last event that is held without a hole before it. */
  cursor: () => number;
  onInput: (input: LogInput) => void;
  /** The server cannot go on from our cursor: read the newest page again. */
  onGapVerdict: () => void;
  /** Our cursor is not of the server's log. */
  onOtherLog: () => void;
  /** The server refused with an HTTP error (the browser does not say which). */
  onRefused: () => void;
  onState: (state: ConnectionState) => void;
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

/**
 * One EventSource at a time. We reconnect ourselves instead of leaving it to the browser: its cursor is then always
 * the reducer's, also after a hole, and it comes back at once when the tab or the network does.
 */
export class EventStream implements Disposable {
  readonly #options: EventStreamOptions;
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #hiddenTimer: ReturnType<typeof setTimeout> | undefined;
  #state: ConnectionState = { state: "connecting", lastFrameMs: 0, attempt: 0 };
  readonly #listeners = new AbortController();

  constructor(options: EventStreamOptions) {
    this.#options = options;
    const on = { signal: this.#listeners.signal };
    addEventListener("online", () => this.#wake(), on);
    addEventListener("offline", () => this.#lost(), on);
    document.addEventListener("visibilitychange", () => this.#onVisibility(), on);
    this.#watch = setInterval(() => this.#checkStall(), 5_000);
    this.#open();
  }

  /** Opens again from the cursor, for instance to fill a hole. */
  reopen(): void {
    this.#close();
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#listeners.abort();
    clearInterval(this.#watch);
    clearTimeout(this.#hiddenTimer);
    this.#close();
  }

  #open(): void {
    this.#close();
    const source = new EventSource(this.#options.url(this.#options.cursor()));
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
    const seq = /^\d+$/.test(message.lastEventId) ? Number(message.lastEventId) : undefined;
    const decoded = decodeFrame(parse(message.data), seq);
    if (decoded.kind === "event") this.#options.onInput({ type: "event", event: decoded.event });
    else if (decoded.kind === "draft") this.#options.onInput({ type: "draft", frame: decoded.frame });
  }

  #onPing(message: MessageEvent<string>): void {
    this.#state = { ...this.#state, lastFrameMs: Date.now() };
    const data = parse(message.data);
    if (!isRecord(data)) return;
    if (data.resumed === false) this.#options.onOtherLog();
    else if (data.verdict === "gap") this.#options.onGapVerdict();
  }

  #lost(): void {
    if (!this.#source) return;
    this.#close();
    this.#options.onInput({ type: "disconnected" });
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
        this.#options.onInput({ type: "disconnected" });
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
    this.#options.onState(this.#state);
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
