/** Thrown to a reader that fell too far behind; nothing is lost at the source, the reader starts again from its cursor. */
export class QueueOverflowError extends Error {
  override name = "QueueOverflowError";
}

/**
 * A bounded queue between one producer that must not wait and one reader. When it is full it fails the reader instead
 * of growing.
 */
export class BoundedQueue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #limit: number;
  #wake: (() => void) | undefined;
  #ended = false;
  #error: unknown;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#items.length;
  }

  /** False when the queue has ended or overflowed: the producer may stop. */
  push(item: T): boolean {
    if (this.#ended) return false;
    if (this.#items.length >= this.#limit) {
      this.#items.length = 0;
      this.fail(new QueueOverflowError(`the reader is more than ${this.#limit} items behind`));
      return false;
    }
    this.#items.push(item);
    this.#wake?.();
    return true;
  }

  /** The reader gets what is queued, then ends. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The reader gets what is queued, then this error. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#error = error;
    this.end();
  }

  /** The next item, or undefined at the end. Rejects with the failure, or with the signal's reason. */
  async next(signal?: AbortSignal): Promise<T | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      const item = this.#items.shift();
      if (item !== undefined) return item;
      if (this.#error !== undefined) throw this.#error;
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
