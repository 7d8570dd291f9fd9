import type { Logger } from "pino";
import type { ServerBus } from "../../ports/server-bus.ts";
import { Subscribers } from "./subscribers.ts";

/** For a database that only this process uses: nothing is ever lost. */
export class LocalBus implements ServerBus, AsyncDisposable {
  readonly #subscribers: Subscribers;

  constructor({ logger }: { logger: Logger }) {
    this.#subscribers = new Subscribers(logger);
  }

  async publish(topic: string, payload: string): Promise<void> {
    queueMicrotask(() => this.#subscribers.deliver(topic, payload));
  }

  subscribe(topic: string, handler: (payload: string) => void): Disposable {
    return this.#subscribers.subscribe(topic, handler);
  }

  onGap(handler: () => void): Disposable {
    return this.#subscribers.onGap(handler);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held.
  }
}
