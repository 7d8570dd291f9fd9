/**
 * Heavy pieces of work of many, one in each turn of the event loop, and those who wait one after the other: however
 * many pieces one of them has, whatever else the process does waits for one piece at the most.
 */
export class FairTurns {
  /** The next in line is first; each has its pieces in their order. */
  readonly #lines = new Map<string, (() => void)[]>();
  readonly #nextTurn: () => Promise<unknown>;
  #isRunning = false;

  /** `nextTurn` resolves in the loop's next turn, after what has come in meanwhile (Node's `setImmediate`). */
  constructor(nextTurn: () => Promise<unknown>) {
    this.#nextTurn = nextTurn;
  }

  /** Resolves when the piece may be done, at once and without waiting for anything else. */
  take(who: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const line = this.#lines.get(who) ?? [];
    line.push(resolve);
    this.#lines.set(who, line);
    if (!this.#isRunning) {
      this.#isRunning = true;
      this.#nextTurn().then(this.#run, this.#run);
    }
    return promise;
  }

  readonly #run = (): void => {
    const first = this.#lines.entries().next().value;
    if (first === undefined) {
      this.#isRunning = false;
      return;
    }
    const [who, line] = first;
    this.#lines.delete(who);
    line.shift()?.();
    // Behind all others.
    if (line.length > 0) this.#lines.set(who, line);
    this.#nextTurn().then(this.#run, this.#run);
  };
}
