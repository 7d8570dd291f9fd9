import { setTimeout as delay } from "node:timers/promises";
import { inBackground } from "@holdfast/std";
import type { Logger } from "pino";
import {
  type EgressConfiguration,
  type EgressMethods,
  protocolVersion,
  type Refusal,
  type SandboxRule,
} from "./egress/protocol.ts";
import { EgressLink } from "./egress-link.ts";
import { endEgress, startEgress } from "./egress-process.ts";
import { NetworkError, reasonOf } from "./network-error.ts";

const maxBackoffMs = 5_000;

export interface EgressKeeperOptions {
  directory: string;
  routerPath: string;
  log: Logger;
  /** What an egress must know from the start. */
  snapshot: () => { configuration: EgressConfiguration; sandboxes: SandboxRule[] };
}

/** Finds the egress that runs or starts one, and starts another whenever it ends. */
export class EgressKeeper {
  readonly #options: EgressKeeperOptions;
  #link: Promise<EgressLink> | undefined;
  readonly #closed = new AbortController();

  constructor(options: EgressKeeperOptions) {
    this.#options = options;
  }

  /** The link to an egress that knows everything; all callers share the one attempt. */
  async link(): Promise<EgressLink> {
    if (this.#closed.signal.aborted) throw new Error("The network is closed.");
    this.#link ??= this.#open().catch((error: unknown) => {
      this.#link = undefined;
      throw error;
    });
    return await this.#link;
  }

  /** Tells egress of a change, once more if it dies over it. */
  async tell<M extends "put" | "remove">(method: M, params: EgressMethods[M]["params"]): Promise<void> {
    const link = await this.link();
    try {
      await link.request(method, params);
    } catch (error) {
      if (link.isOpen) throw error;
      // It died of something else: told again to the one that follows.
      await link.closed;
      const next = await this.link();
      await next.request(method, params);
    }
  }

  async #open(): Promise<EgressLink> {
    const { directory, routerPath, log } = this.#options;
    let link = await this.#find();
    if (link === undefined) {
      // One that hangs, or speaks another version, would keep the ports.
      await endEgress(directory);
      await startEgress(directory, routerPath);
      link = await EgressLink.connect(directory, this.#onRefusal);
      log.info("egress started");
    }
    try {
      await link.request("synchronise", this.#options.snapshot());
    } catch (error) {
      link.close();
      throw error;
    }
    inBackground(this.#watch(link), (error) => {
      this.#options.log.error({ error: reasonOf(error) }, "egress is not watched");
    });
    return link;
  }

  async #find(): Promise<EgressLink | undefined> {
    let link: EgressLink | undefined;
    try {
      link = await EgressLink.connect(this.#options.directory, this.#onRefusal);
      const { version, pid } = await link.request("hello", {});
      if (version === protocolVersion) return link;
      this.#options.log.warn({ pid, version, wanted: protocolVersion }, "egress of another version is replaced");
    } catch (error) {
      this.#options.log.debug({ error: reasonOf(error) }, "no egress to take over");
    }
    link?.close();
    return undefined;
  }

  /** Heals: sandboxes have no network while there is no egress. */
  async #watch(link: EgressLink): Promise<void> {
    await link.closed;
    this.#link = undefined;
    const { log } = this.#options;
    if (!this.#closed.signal.aborted) log.error("egress ended: the sandboxes' connections are cut; starting another");
    for (let backoffMs = 50; !this.#closed.signal.aborted; backoffMs = Math.min(backoffMs * 2, maxBackoffMs)) {
      try {
        await this.link();
        return;
      } catch (error) {
        log.error({ error: reasonOf(error) }, "egress could not be started again");
      }
      await delay(backoffMs, undefined, { signal: this.#closed.signal }).catch(() => {
        // Closed meanwhile: the loop ends.
      });
    }
  }

  readonly #onRefusal = (refusal: Refusal): void => {
    this.#options.log.info({ ...refusal }, "connection refused");
  };

  /** Lets go; the egress runs on. */
  async close(): Promise<void> {
    this.#closed.abort();
    const link = await this.#link?.catch(() => undefined);
    link?.close();
  }

  /** Ends the egress. */
  async destroy(): Promise<void> {
    await this.close();
    await endEgress(this.#options.directory).catch((cause: unknown) => {
      throw new NetworkError({
        what: "Egress could not be ended.",
        why: reasonOf(cause),
        todo: "End the process by hand, then run this again.",
        cause,
      });
    });
  }
}
