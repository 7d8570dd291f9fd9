const maxBatch = 8;
const refillDelayMs = 20;

interface Waiter {
  resolve: (slot: number) => void;
  reject: (error: unknown) => void;
}

export interface SlotPoolOptions {
  /** How many to keep ready. */
  size: number;
  allocate: () => number;
  create: (slots: number[]) => Promise<void>;
  destroy: (slots: number[]) => Promise<void>;
}

/** Namespaces made ahead, so that a sandbox's start need not wait for them; several wanted at once share one batch. */
export class SlotPool implements AsyncDisposable {
  readonly #options: SlotPoolOptions;
  readonly #ready: number[] = [];
  readonly #waiters: Waiter[] = [];
  #making: number[] = [];
  #filling: Promise<void> | undefined;
  #refill: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: SlotPoolOptions) {
    this.#options = options;
  }

  /** Slots that exist, or are being made, without belonging to anybody. */
  get unowned(): number[] {
    return [...this.#ready, ...this.#making];
  }

  async take(): Promise<number> {
    if (this.#closed) throw new Error("The network is closed.");
    const slot = this.#ready.shift();
    if (slot === undefined) {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      this.#waiters.push({ resolve, reject });
      this.fill();
      return await promise;
    }
    // Not at once: starting tools would take the processor from the sandbox that starts now.
    this.#refill ??= setTimeout(() => {
      this.#refill = undefined;
      this.fill();
    }, refillDelayMs).unref();
    return slot;
  }

  /** Starts to fill in the background. */
  fill(): void {
    this.#filling ??= this.#fill().finally(() => {
      this.#filling = undefined;
    });
  }

  async #fill(): Promise<void> {
    for (;;) {
      const missing = this.#waiters.length + this.#options.size - this.#ready.length;
      if (missing <= 0 || this.#closed) return;
      const slots: number[] = [];
      this.#making = slots;
      try {
        for (let n = Math.min(missing, maxBatch); n > 0; n -= 1) slots.push(this.#options.allocate());
        await this.#options.create(slots);
      } catch (error) {
        for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
        // The failure to make them is what is told; rests are removed when an engine starts.
        await this.#options.destroy(slots).catch(() => {});
        this.#making = [];
        return;
      }
      this.#making = [];
      for (const slot of slots) {
        const waiter = this.#waiters.shift();
        if (waiter === undefined) this.#ready.push(slot);
        else waiter.resolve(slot);
      }
    }
  }

  /** Removes what is ready and lets nobody take any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#refill);
    await this.#filling;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error("The network is closed."));
    await this.#options.destroy(this.#ready.splice(0));
  }
}
