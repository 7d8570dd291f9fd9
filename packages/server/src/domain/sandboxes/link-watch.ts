export interface LinkWatchOptions {
  /** Whether anybody waits for the other side at all. */
  isNeeded: () => boolean;
  /** Asks the other side to say something. */
  ping: () => void;
  /** It did not: called once. */
  onSilent: (silentMs: number) => void;
  timings?: LinkTimings;
}

export interface LinkTimings {
  /** After so much silence it is asked. */
  pingMs: number;
  /** After so much it counts as dead. */
  deadMs: number;
  lookMs: number;
}

const defaults: LinkTimings = { pingMs: 1_500, deadMs: 5_000, lookMs: 250 };

/**
 * Notices a connection whose other end has fallen silent: a cut network tells nobody. Silence counts only while
 * somebody waits and while we listen: neither an idle sandbox nor a slow reader of our own is a dead link.
 */
export class LinkWatch implements Disposable {
  readonly #options: LinkWatchOptions;
  readonly #timings: LinkTimings;
  readonly #timer: NodeJS.Timeout;
  #heardMs = performance.now();
  #lookedMs = performance.now();
  #asked = false;
  #deaf = 0;

  constructor(options: LinkWatchOptions) {
    this.#options = options;
    this.#timings = options.timings ?? defaults;
    this.#timer = setInterval(() => this.#look(), this.#timings.lookMs);
    this.#timer.unref();
  }

  /** Something came. */
  heard(): void {
    this.#heardMs = performance.now();
    this.#asked = false;
  }

  /** Meanwhile nothing is read. */
  async deaf<T>(work: () => Promise<T>): Promise<T> {
    this.#deaf++;
    try {
      return await work();
    } finally {
      this.#deaf--;
      this.heard();
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    // This process was stopped, or too busy to read.
    const asleep = now - this.#lookedMs > this.#timings.lookMs * 4 + 500;
    this.#lookedMs = now;
    if (asleep || this.#deaf > 0 || !this.#options.isNeeded()) this.heard();
    const silentMs = now - this.#heardMs;
    if (silentMs >= this.#timings.deadMs) {
      this[Symbol.dispose]();
      this.#options.onSilent(silentMs);
    } else if (silentMs >= this.#timings.pingMs && !this.#asked) {
      this.#asked = true;
      this.#options.ping();
    }
  }
}
