import type { Logger } from "pino";

/** Who listens to what, in this process. */
export class Subscribers {
  readonly #logger: Logger;
  readonly #topics = new Map<string, Set<(payload: string) => void>>();
  readonly #gaps = new Set<() => void>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  subscribe(topic: string, handler: (payload: string) => void): Disposable {
    // A function of its own: the same handler may be subscribed twice.
    const own = (payload: string) => handler(payload);
    const handlers = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, handlers.add(own));
    return {
      [Symbol.dispose]: () => {
        handlers.delete(own);
        if (handlers.size === 0 && this.#topics.get(topic) === handlers) this.#topics.delete(topic);
      },
    };
  }

  onGap(handler: () => void): Disposable {
    const own = () => handler();
    this.#gaps.add(own);
    return {
      [Symbol.dispose]: () => {
        this.#gaps.delete(own);
      },
    };
  }

  deliver(topic: string, payload: string): void {
    for (const handler of [...(this.#topics.get(topic) ?? [])]) this.#call(() => handler(payload), topic);
  }

  gap(): void {
    for (const handler of [...this.#gaps]) this.#call(handler, "gap");
  }

  /** Topics that somebody listens to. */
  get size(): number {
    return this.#topics.size;
  }

  #call(work: () => void, topic: string): void {
    try {
      work();
    } catch (error) {
      // The others are told all the same.
      this.#logger.error({ err: error, topic }, "a subscriber failed");
    }
  }
}
