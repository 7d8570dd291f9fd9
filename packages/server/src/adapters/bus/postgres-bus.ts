import { sleep } from "@holdfast/std";
import { Client } from "pg";
import type { Logger } from "pino";
import type { Database } from "../../ports/database.ts";
import type { ServerBus } from "../../ports/server-bus.ts";
import { clientConfig } from "../db/postgres-pool.ts";
import { Subscribers } from "./subscribers.ts";
import { channel, notify } from "./wire.ts";

const connectTimeoutMs = 5_000;
/** A connection that does not answer within `heartbeatTimeoutMs` is given up. */
const heartbeatEveryMs = 10_000;
const heartbeatTimeoutMs = 5_000;
const goodbyeMs = 1_000;
const backoffMs = { first: 100, most: 5_000 };

export interface PostgresBusOptions {
  url: string;
  db: Database;
  logger: Logger;
}

/** LISTEN on one connection of its own, which comes back by itself; NOTIFY over the pool. */
export class PostgresBus implements ServerBus, AsyncDisposable {
  readonly #options: PostgresBusOptions;
  readonly #subscribers: Subscribers;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;

  constructor(options: PostgresBusOptions) {
    this.#options = options;
    this.#subscribers = new Subscribers(options.logger);
    this.#running = this.#run();
  }

  async publish(topic: string, payload: string): Promise<void> {
    await notify(this.#options.db, topic, payload);
  }

  subscribe(topic: string, handler: (payload: string) => void): Disposable {
    return this.#subscribers.subscribe(topic, handler);
  }

  onGap(handler: () => void): Disposable {
    return this.#subscribers.onGap(handler);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the bus is closed"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { logger } = this.#options;
    for (let waitMs = backoffMs.first; !signal.aborted; waitMs = Math.min(backoffMs.most, waitMs * 2)) {
      try {
        await this.#listen(() => (waitMs = backoffMs.first));
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ err: error }, "the connection for messages between servers broke; connecting again");
      }
      // Aborts when the bus is closed: the loop ends then.
      await sleep(waitMs, signal).catch(() => undefined);
    }
  }

  /** Until the connection breaks: then it rejects. */
  async #listen(onConnected: () => void): Promise<void> {
    const { signal } = this.#closing;
    const client = new Client({
      ...clientConfig(this.#options.url),
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: heartbeatTimeoutMs,
    });
    const broken = Promise.withResolvers<never>();
    broken.promise.catch(() => undefined);
    const onAbort = () => broken.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    client.on("error", broken.reject);
    client.on("end", () => broken.reject(new Error("PostgreSQL closed the connection")));
    client.on("notification", ({ payload = "" }) => this.#onNotification(payload));
    try {
      await Promise.race([client.connect(), broken.promise]);
      await Promise.race([client.query(`listen ${channel}`), broken.promise]);
      onConnected();
      // What was said while nobody listened is not repeated.
      this.#subscribers.gap();
      for (;;) {
        await Promise.race([sleep(heartbeatEveryMs, signal), broken.promise]);
        await Promise.race([client.query("select 1"), broken.promise]);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      // One that is broken already need not say goodbye, and one that is cut off cannot.
      await Promise.race([client.end().catch(() => undefined), sleep(goodbyeMs)]);
    }
  }

  #onNotification(text: string): void {
    const end = text.indexOf(" ");
    if (end > 0) this.#subscribers.deliver(text.slice(0, end), text.slice(end + 1));
  }
}
