/** Thrown to a reader that fell too far behind; nothing is lost at the source, the reader starts again from its cursor. */
export class QueueOverflowError extends Error {
  override name = "QueueOverflowError";
}

/** How many bytes may wait in one queue, or in several that share it. */
export class ByteBudget {
  readonly limit: number;
  used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }
}

/**
 * A bounded queue between one producer that must not wait and one reader. When it is full, by count or by bytes, it
 * fails the reader instead of growing.
 */
export class BoundedQueue<T> implements AsyncIterable<T> {
  #items: { item: T; bytes: number }[] = [];
  #bytes = 0;
  readonly #limit: number;
  readonly #budget: ByteBudget;
  #wake: (() => void) | undefined;
  #ended = false;
  /** In an object: anything can be thrown, also `undefined`. */
  #failure: { readonly error: unknown } | undefined;

  constructor(limit: number, budget: ByteBudget = new ByteBudget(Number.POSITIVE_INFINITY)) {
    this.#limit = limit;
    this.#budget = budget;
  }

  get size(): number {
    return this.#items.length;
  }

  /** False when the queue has ended or overflowed: the producer may stop. */
  push(item: T, bytes = 0): boolean {
    if (this.#ended) return false;
    const budget = this.#budget;
    // One item alone is always taken: the reader could never get it otherwise.
    const heavy = budget.used > 0 && budget.used + bytes > budget.limit;
    if (heavy || this.#items.length >= this.#limit) {
      const what = heavy ? `${budget.limit} bytes` : `${this.#limit} items`;
      this.clear();
      this.fail(new QueueOverflowError(`the reader is more than ${what} behind`));
      return false;
    }
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    budget.used += bytes;
    this.#wake?.();
    return true;
  }

  /** Forgets what nobody has read. */
  clear(): void {
    this.#items = [];
    this.#budget.used -= this.#bytes;
    this.#bytes = 0;
  }

  /** The reader gets what is queued, then ends. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The reader gets what is queued, then this error. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = { error };
    this.end();
  }

  /** The next item, or undefined at the end. Rejects with the failure, or with the signal's reason. */
  async next(signal?: AbortSignal): Promise<T | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      const first = this.#items.shift();
      if (first !== undefined) {
        this.#bytes -= first.bytes;
        this.#budget.used -= first.bytes;
        return first.item;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#ended) return undefined;
      await this.#changed(signal);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (let item = await this.next(); item !== undefined; item = await this.next()) yield item;
  }

  #changed(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#wake = undefined;
        signal?.removeEventListener("abort", done);
        resolve();
      };
      this.#wake = done;
      signal?.addEventListener("abort", done, { once: true });
    });
  }
}
