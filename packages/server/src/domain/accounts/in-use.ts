/** One request's interest in what it showed. */
export interface Hold extends Disposable {
  /** Aborts when it counts no more. */
  readonly signal: AbortSignal;
}

interface Entry {
  controller: AbortController;
  holds: number;
}

/** Keys, or logins, that requests under way have shown: nothing is kept of those that nobody holds. */
export class InUse {
  readonly #entries = new Map<string, Entry>();

  get ids(): string[] {
    return [...this.#entries.keys()];
  }

  /** Until it is disposed of; more than once is once. */
  hold(id: string): Hold {
    const entry = this.#entries.get(id) ?? { controller: new AbortController(), holds: 0 };
    this.#entries.set(id, entry);
    entry.holds++;
    let isHeld = true;
    return {
      signal: entry.controller.signal,
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        entry.holds--;
        if (entry.holds === 0 && this.#entries.get(id) === entry) this.#entries.delete(id);
      },
    };
  }

  /** It counts no more: tells all who hold it. */
  end(id: string, reason: Error): void {
    const entry = this.#entries.get(id);
    this.#entries.delete(id);
    entry?.controller.abort(reason);
  }
}
