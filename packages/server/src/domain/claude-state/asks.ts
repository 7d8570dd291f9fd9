import { randomUUID } from "node:crypto";
import { isStateRequestId, type StateContext, type StateQuestion, stateAnswer, stateRequest } from "@holdfast/claude";
import type { ProblemCode } from "@holdfast/protocol";
import { isAbort, sleep } from "@holdfast/std";
import type { Tx } from "../../ports/database.ts";
import { storeState } from "./rows.ts";

/** What becomes of a question, as JSON: it may have been another server's. What was answered lies in the row. */
export type AskOutcome =
  | { kind: "answered" }
  /** Nobody lives who could be asked. */
  | { kind: "nobody" }
  | { kind: "failed"; code: ProblemCode; detail: string };

/** A process of Claude Code, as far as it is asked. */
export interface AskedProcess {
  /** It was told to end. */
  readonly ending: boolean;
  readonly process: {
    readonly processId: string;
    readonly alive: boolean;
    /** All that it said is stored. */
    readonly exited: Promise<void>;
    send(line: string, lineId: string, signal: AbortSignal): Promise<void>;
  };
}

export interface StateResponse {
  readonly requestId: string;
  readonly ok: boolean;
  readonly response: unknown;
  readonly error: string | null;
}

/** What is asked, and the permission mode of the session: a process tells its own with its first turn. */
export interface SessionQuestion extends StateQuestion {
  readonly mode: string | null;
}

interface OpenAsk {
  question: SessionQuestion;
  settle: (outcome: AskOutcome) => void;
}

export interface ClaudeAsksOptions {
  sessionId: string;
  clock: { now(): number };
  answerMs: number;
}

/** Questions of one session that wait at once: each is a line on the stdin of its process. */
const mostOpen = 16;
/** Of an answer in our words. */
const mostBytes = 256 * 1024;

const failed = (code: ProblemCode, detail: string): AskOutcome => ({ kind: "failed", code, detail });

/** What a session's Claude Code is asked on the side. Who asks the same meanwhile gets the same answer. */
export class ClaudeAsks<P extends AskedProcess> {
  readonly #options: ClaudeAsksOptions;
  readonly #asking = new Map<string, Promise<AskOutcome>>();
  readonly #open = new Map<string, OpenAsk>();
  #wanted: PromiseWithResolvers<P> | undefined;

  constructor(options: ClaudeAsksOptions) {
    this.#options = options;
  }

  /** Somebody waits for a process. */
  get wantsProcess(): boolean {
    return this.#wanted !== undefined;
  }

  /** Resolves with the next process, or rejects with why there is none. */
  whenHeld(): Promise<P> {
    this.#wanted ??= Promise.withResolvers<P>();
    // Whoever waits may have gone.
    this.#wanted.promise.catch(() => undefined);
    return this.#wanted.promise;
  }

  /** A process lives, with its first line said. */
  held(running: P): void {
    this.#wanted?.resolve(running);
    this.#wanted = undefined;
  }

  notHeld(error: unknown): void {
    this.#wanted?.reject(error);
    this.#wanted = undefined;
  }

  /** Never rejects for Claude's sake; `signal`: the session is let go of. */
  async ask(running: P, question: SessionQuestion, signal: AbortSignal): Promise<AskOutcome> {
    const key = JSON.stringify([running.process.processId, question.name, question.query]);
    const asking = this.#asking.get(key);
    if (asking !== undefined) return await asking;
    if (this.#asking.size >= mostOpen)
      return failed("claude_did_not_answer", `${mostOpen} other questions wait for Claude Code's answer already`);
    const mine = this.#ask(running, question, signal).finally(() => this.#asking.delete(key));
    this.#asking.set(key, mine);
    return await mine;
  }

  /** What such an answer does, in the transaction of its line. Undefined when it answers something else. */
  take(
    response: StateResponse,
    { mode, show }: StateContext,
  ): { also?: (tx: Tx) => Promise<void>; after?: () => void } | undefined {
    if (!isStateRequestId(response.requestId)) return undefined;
    const open = this.#open.get(response.requestId);
    // Nobody waits any more, or a server of before did.
    if (open === undefined) return {};
    const { question, settle } = open;
    if (!response.ok)
      return { after: () => settle(failed("claude_answer_refused", refusal(question, response.error))) };
    const answer = stateAnswer(question, response.response, { mode: mode ?? question.mode, show });
    if (answer === undefined) {
      const detail = `Claude Code answered the question for ${question.name} with something else`;
      return { after: () => settle(failed("claude_answer_refused", detail)) };
    }
    const json = JSON.stringify(answer);
    const bytes = Buffer.byteLength(json);
    if (bytes > mostBytes) {
      const detail = `What Claude Code says of ${question.name} has ${bytes} bytes; ${mostBytes} are given at the most`;
      return { after: () => settle(failed("claude_answer_too_large", detail)) };
    }
    const { sessionId, clock } = this.#options;
    return {
      also: (tx) => storeState(tx, { sessionId, ...question }, { json, nowMs: clock.now() }),
      after: () => settle({ kind: "answered" }),
    };
  }

  async #ask({ process }: P, question: SessionQuestion, letGo: AbortSignal): Promise<AskOutcome> {
    const { answerMs } = this.#options;
    const { line, requestId } = stateRequest(randomUUID(), question);
    const answer = Promise.withResolvers<AskOutcome>();
    const over = new AbortController();
    const signal = AbortSignal.any([letGo, over.signal]);
    const silent = failed(
      "claude_did_not_answer",
      `Claude Code was asked for ${question.name} and said nothing for ${answerMs / 1000} seconds`,
    );
    this.#open.set(requestId, { question, settle: answer.resolve });
    try {
      const said = process.send(line, requestId, signal).then(
        () => answer.promise,
        // A process that has ended says more by that.
        (error: unknown) => (isAbort(error, signal) || !process.alive ? answer.promise : Promise.reject(error)),
      );
      const ended = process.exited.then((): AskOutcome => ({ kind: "nobody" }));
      return await Promise.race([said, ended, sleep(answerMs, signal).then(() => silent)]);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return failed("claude_did_not_answer", `Claude Code could not be asked for ${question.name}: ${why}`);
    } finally {
      this.#open.delete(requestId);
      over.abort();
    }
  }
}

function refusal({ name }: StateQuestion, error: string | null): string {
  return `Claude Code does not say its ${name}: ${(error ?? "it gives no reason").slice(0, 1_000)}`;
}
