import { inBackground, withDeadline } from "@holdfast/std";
import type { Logger } from "pino";
import type { ServerBus } from "../../ports/server-bus.ts";
import { LeaseLostError } from "./membership.ts";

/** Something that the server which works on a workspace is to do. JSON. */
export type Ask = { op: string; workspaceId: string } & Record<string, unknown>;

type Message =
  | { to: string; from: string; id: string; ask: Ask }
  | { to: string; from: string; re: string; answer: Answer };

type Answer = { ok: true; result?: unknown } | { ok: false; error: Refusal };

interface Refusal {
  message: string;
  /** Another server has it. */
  moved: boolean;
}

export interface RelayDeps {
  bus: ServerBus;
  logger: Logger;
  /** This server's id of now. */
  serverId: () => string;
  /** Does what another server asks for. */
  onAsk: (ask: Ask) => Promise<unknown>;
}

const topic = "servers";
const againMs = 500;
/** So many asks are remembered, so that one which is repeated is done once. */
const remembered = 1_000;

/** The other server would not, or could not. */
export class AskFailedError extends Error {
  override name = "AskFailedError";
  readonly moved: boolean;
  constructor({ message, moved }: Refusal) {
    super(message);
    this.moved = moved;
  }
}

/** Asks other servers, and answers them. Words may be lost on the way: an ask is repeated until it is answered. */
export class Relay implements Disposable {
  readonly #deps: RelayDeps;
  readonly #open = new Map<string, PromiseWithResolvers<unknown>>();
  readonly #done = new Map<string, Promise<Answer>>();
  readonly #subscription: Disposable;

  constructor(deps: RelayDeps) {
    this.#deps = deps;
    this.#subscription = deps.bus.subscribe(topic, (payload) => this.#receive(payload));
  }

  /**
   * Resolves with its answer when `serverId` has done it: once, however often the same `id` is asked. Rejects with `AskFailedError`, or
   * with a `DeadlineError` after `timeoutMs` without an answer.
   */
  async ask(
    serverId: string,
    { id, ask }: { id: string; ask: Ask },
    options: { timeoutMs: number; signal: AbortSignal },
  ): Promise<unknown> {
    const answer = Promise.withResolvers<unknown>();
    this.#open.set(id, answer);
    const say = () => this.#publish({ to: serverId, from: this.#deps.serverId(), id, ask });
    say();
    const timer = setInterval(say, againMs);
    try {
      return await withDeadline(() => answer.promise, { what: `an answer of ${serverId} to ${ask.op}`, ...options });
    } finally {
      clearInterval(timer);
      this.#open.delete(id);
      answer.promise.catch(() => undefined);
    }
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }

  #receive(payload: string): void {
    const message = JSON.parse(payload) as Message;
    if (message.to !== this.#deps.serverId()) return;
    if ("re" in message) {
      const { re, answer } = message;
      if (answer.ok) this.#open.get(re)?.resolve(answer.result);
      else this.#open.get(re)?.reject(new AskFailedError(answer.error));
      return;
    }
    const { id, from, to } = message;
    const answering = this.#answer(id, message.ask);
    inBackground(
      answering.then((answer) => this.#publish({ to: from, from: to, re: id, answer })),
      (error) => this.#deps.logger.warn({ err: error, to: from }, "another server was not answered; it will ask again"),
    );
  }

  #answer(id: string, ask: Ask): Promise<Answer> {
    const known = this.#done.get(id);
    if (known !== undefined) return known;
    const doing = this.#deps.onAsk(ask).then(
      (result): Answer => ({ ok: true, result }),
      (error): Answer => ({
        ok: false,
        error: {
          message: error instanceof Error ? error.message : String(error),
          moved: error instanceof LeaseLostError,
        },
      }),
    );
    this.#done.set(id, doing);
    // What was not done may be done later, when the workspace has come here after all.
    inBackground(
      doing.then((answer) => !answer.ok && answer.error.moved && this.#done.delete(id)),
      () => this.#done.delete(id),
    );
    const [oldest] = this.#done.keys();
    if (this.#done.size > remembered && oldest !== undefined) this.#done.delete(oldest);
    return doing;
  }

  #publish(message: Message): void {
    this.#deps.bus
      .publish(topic, JSON.stringify(message))
      .catch((error) => this.#deps.logger.warn({ err: error }, "another server could not be spoken to"));
  }
}
