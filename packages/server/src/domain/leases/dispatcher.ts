import { randomUUID } from "node:crypto";
import { DeadlineError, pause } from "@holdfast/std";
import type { Logger } from "pino";
import type { ServerBus } from "../../ports/server-bus.ts";
import type { Leases, Owner } from "./leases.ts";
import { LeaseLostError } from "./membership.ts";
import { type Ask, AskFailedError, Relay } from "./relay.ts";

export interface DispatcherDeps {
  bus: ServerBus;
  leases: Leases;
  logger: Logger;
}

type Handler = (ask: Ask) => Promise<unknown>;

/** `result`: what the handler gave, as JSON carries it. */
export type Dispatched = { done: false } | { done: true; result: unknown };

interface DispatchOptions {
  /** Whether this server makes the workspace its own where nobody has it. Otherwise nothing happens then. */
  claim: boolean | (() => Promise<boolean>);
  /** Default: 30 s. */
  timeoutMs?: number;
}

const defaultTimeoutMs = 30_000;
/** One that does not answer for so long may be dead: then the workspace has another server soon. */
const answerMs = 3_000;
const retryMs = 250;

/** Has things done by the server that works on a workspace: by this one, or by asking another. */
export class Dispatcher implements Disposable {
  readonly #deps: DispatcherDeps;
  readonly #relay: Relay;
  readonly #handlers = new Map<string, Handler>();
  readonly #closing = new AbortController();

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
    this.#relay = new Relay({
      bus: deps.bus,
      logger: deps.logger,
      serverId: () => deps.leases.serverId,
      onAsk: (ask) => this.#asked(ask),
    });
  }

  /** What this server does when it is asked for `op`. */
  handle(op: string, handler: Handler): void {
    this.#handlers.set(op, handler);
  }

  /** Resolves when it was done, or when nobody works on the workspace. Rejects when nobody would in time. */
  async dispatch(ask: Ask, { claim, timeoutMs = defaultTimeoutMs }: DispatchOptions): Promise<Dispatched> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]);
    const id = randomUUID();
    for (let lastError: unknown; ; ) {
      signal.throwIfAborted();
      try {
        const owner = await this.#owner(ask, claim);
        if (owner.kind === "nobody") return { done: false };
        if (owner.kind === "this") return { done: true, result: await this.#here(ask) };
        const waiting = { timeoutMs: Math.min(answerMs, timeoutMs), signal };
        return { done: true, result: await this.#relay.ask(owner.serverId, { id, ask }, waiting) };
      } catch (error) {
        // It has moved on, or does not answer: look again who has it.
        if (!isMoved(error)) throw error;
        lastError = error;
      }
      if (!(await pause(retryMs, signal))) throw lastError;
    }
  }

  [Symbol.dispose](): void {
    this.#closing.abort(new Error("the server stops"));
    this.#relay[Symbol.dispose]();
  }

  async #owner(ask: Ask, claim: DispatchOptions["claim"]): Promise<Owner> {
    const { leases } = this.#deps;
    const owner = await leases.ownerOf(ask.workspaceId);
    if (owner.kind !== "nobody") return owner;
    const wanted = typeof claim === "boolean" ? claim : await claim();
    return wanted ? await leases.acquire(ask.workspaceId) : owner;
  }

  async #here(ask: Ask): Promise<unknown> {
    const handler = this.#handlers.get(ask.op);
    if (handler === undefined) throw new Error(`this server does not know how to ${ask.op}`);
    return await handler(ask);
  }

  async #asked(ask: Ask): Promise<unknown> {
    const owner = await this.#deps.leases.ownerOf(ask.workspaceId);
    if (owner.kind !== "this") throw new LeaseLostError(`${ask.workspaceId} is not this server's`);
    return await this.#here(ask);
  }
}

function isMoved(error: unknown): boolean {
  if (error instanceof AskFailedError) return error.moved;
  return error instanceof LeaseLostError || error instanceof DeadlineError;
}
