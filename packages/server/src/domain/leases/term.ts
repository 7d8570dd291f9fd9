/** When something was, by two clocks: one that only goes forward, and one that goes on while the machine sleeps. */
export interface Mark {
  monotonicMs: number;
  wallMs: number;
}

/** One life of this server among the others, from its registration until it is out. */
export class Term {
  readonly serverId: string;
  readonly #over = new AbortController();
  #beaten: Mark | undefined;

  constructor(serverId: string) {
    this.serverId = serverId;
  }

  /** Aborts, with a `LeaseLostError`, when it is over. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  mark(): Mark {
    return { monotonicMs: performance.now(), wallMs: Date.now() };
  }

  /** A heartbeat that was sent at `mark` has arrived. */
  beaten(mark: Mark): void {
    if (this.#beaten === undefined || mark.monotonicMs > this.#beaten.monotonicMs) this.#beaten = mark;
  }

  /** Whether nobody can have taken it for dead yet. */
  isFresh(withinMs: number): boolean {
    if (this.#beaten === undefined) return false;
    const now = this.mark();
    const passedMs = Math.max(now.monotonicMs - this.#beaten.monotonicMs, now.wallMs - this.#beaten.wallMs);
    return passedMs < withinMs;
  }

  end(reason: unknown): void {
    this.#over.abort(reason);
  }
}
