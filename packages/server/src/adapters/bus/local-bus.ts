import type { ServerBus } from "../../ports/server-bus.ts";

/** For a database that only this process uses: there is nobody else to speak to. */
export class LocalBus implements ServerBus {
  readonly #handlers = new Map<string, Set<(payload: string) => void>>();

  async publish(topic: string, payload: string): Promise<void> {
    for (const handler of this.#handlers.get(topic) ?? []) queueMicrotask(() => handler(payload));
  }

  subscribe(topic: string, handler: (payload: string) => void): Disposable {
    const handlers = this.#handlers.get(topic) ?? new Set();
    this.#handlers.set(topic, handlers.add(handler));
    return { [Symbol.dispose]: () => void handlers.delete(handler) };
  }
}
