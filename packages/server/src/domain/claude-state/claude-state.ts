import type { StateQuestion } from "@holdfast/claude";
import { AppError, type ClaudeState, type ClaudeStateName, type ClaudeStates } from "@holdfast/protocol";
import { DeadlineError, withDeadline } from "@holdfast/std";
import type { Database } from "../../ports/database.ts";
import { LeaseLostError } from "../leases/membership.ts";
import { AskFailedError } from "../leases/relay.ts";
import { sessionRow } from "../sessions/lists.ts";
import type { AskOutcome } from "./asks.ts";
import { knownState } from "./rows.ts";

/** A question, and whether Claude Code is started for it. */
export interface StateAsk extends StateQuestion {
  readonly start: boolean;
}

export interface ClaudeStateReaderDeps {
  db: Database;
  /** Has the session's process asked, by whichever server holds it. */
  ask: (sessionId: string, ask: StateAsk) => Promise<AskOutcome>;
  /** How long Claude Code may take to answer. */
  answerMs: number;
}

/** A sandbox, and Claude Code in it, may have to be started first; clients wait a minute for an answer. */
const startMs = 40_000;
/** Where another server has to be found and asked. */
const relayMs = 5_000;

/** What Claude Code says of itself: now, or when it said it last. */
export class ClaudeStateReader {
  readonly #deps: ClaudeStateReaderDeps;

  constructor(deps: ClaudeStateReaderDeps) {
    this.#deps = deps;
  }

  /** Throws `not_started` where nothing was ever said. */
  async read<N extends ClaudeStateName>(
    accountId: string,
    sessionId: string,
    ask: StateAsk & { name: N },
  ): Promise<ClaudeState<N>> {
    const { db } = this.#deps;
    const { archived_at, status } = await sessionRow(db, accountId, sessionId);
    if (archived_at !== null) throw new AppError("session_archived");
    if (status === "terminated") throw new AppError("session_terminated");
    const outcome = await this.#ask(sessionId, ask);
    if (outcome.kind === "failed") throw new AppError(outcome.code, { detail: outcome.detail });
    const known = await knownState(db, { sessionId, name: ask.name, query: ask.query });
    if (known === undefined) throw await this.#unknown(accountId, sessionId, ask);
    const as_of = new Date(known.asOfMs).toISOString();
    return { live: outcome.kind === "answered", as_of, ...(known.answer as ClaudeStates[N]) };
  }

  async #ask(sessionId: string, ask: StateAsk): Promise<AskOutcome> {
    const { answerMs } = this.#deps;
    const timeoutMs = answerMs + relayMs + (ask.start ? startMs : 0);
    try {
      const what = `what Claude Code says of its ${ask.name}`;
      return await withDeadline(() => this.#deps.ask(sessionId, ask), { what, timeoutMs });
    } catch (error) {
      if (error instanceof AskFailedError || error instanceof LeaseLostError) {
        const detail = `The server that works on this session could not ask Claude Code: ${error.message}`;
        throw new AppError("claude_did_not_answer", { detail, cause: error });
      }
      if (!(error instanceof DeadlineError)) throw error;
      const detail = ask.start
        ? `The session's sandbox is not ready after ${timeoutMs / 1000} seconds; it goes on being started`
        : `The server that works on this session did not say within ${timeoutMs / 1000} seconds what Claude Code answers`;
      throw new AppError("claude_did_not_answer", { detail, cause: error });
    }
  }

  /** It may have been deleted or archived meanwhile. */
  async #unknown(accountId: string, sessionId: string, { name, start }: StateAsk): Promise<AppError> {
    const { archived_at } = await sessionRow(this.#deps.db, accountId, sessionId);
    if (archived_at !== null) return new AppError("session_archived");
    // It was started for this, and ended.
    if (start) return new AppError("claude_did_not_answer", { detail: "Claude Code ended before it answered" });
    const detail = `Claude Code does not run in this session, and has not told its ${name} before`;
    return new AppError("not_started", { detail });
  }
}
