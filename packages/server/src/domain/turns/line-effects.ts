import type { MapResult, Signal } from "@holdfast/claude";
import type { EventOf, NewEvent } from "@holdfast/protocol";
import type { Tx } from "../../ports/database.ts";
import { closeQuestions } from "../sessions/permissions.ts";
import type { LineEffect, ProcessExit } from "./claude-process.ts";
import { errorEvent, idleEvent, TurnFailure } from "./failure.ts";
import { refuseOpen } from "./questions.ts";
import type { Turn } from "./turn.ts";

type TurnEnded = Extract<Signal, { type: "turn_ended" }>;

/** What is known of a process besides what it says now. */
export interface ProcessState {
  sessionId: string;
  turn: Turn | undefined;
  /** A turn that Claude began by itself is running. */
  ownTurn: boolean;
  /** It has printed an `init`: it runs. */
  started: boolean;
  /** Why it could not start, in its own words. */
  startupErrors: string[];
  conversationNotFound: boolean;
}

/** What the session has to note when a turn's `result` comes. */
export function onTurnEnded(state: ProcessState, ended: TurnEnded, result: MapResult, nowMs: number): LineEffect {
  if (ended.startupFailure) {
    // The exit comes next and says the rest; the message was not taken.
    state.startupErrors = [...ended.errors];
    state.conversationNotFound = ended.conversationNotFound;
    return { events: [] };
  }
  const { turn } = state;
  const answers = ended.userMessageUuids;
  const isTurns =
    turn?.sent === true && (answers.includes(turn.messageId) || (answers.length === 0 && ended.origin === null));
  const cost = (tx: Tx) => addUsage(tx, state.sessionId, result.events);
  if (!isTurns && turn !== undefined)
    return { events: result.events, also: cost, after: () => (state.ownTurn = false) };
  const outcome = turn?.stopped === true ? "stopped" : ended.outcome;
  const idle = idleEvent(outcome, { retriesExhausted: ended.terminalReason === "api_error" });
  return {
    events: result.events,
    session: { status: "idle" },
    more: async (tx) => ({ events: [...(await refuseOpen(tx, state.sessionId, nowMs)), idle] }),
    also: async (tx) => {
      await cost(tx);
      if (turn !== undefined) await markMessage(tx, turn.messageId, "done");
    },
    after: () => {
      state.ownTurn = false;
      turn?.end({ kind: "done" });
    },
  };
}

/** What a line adds that begins a turn nobody asked for, e.g. when a background task ended. */
export function onTurnStarted(state: ProcessState, result: MapResult): LineEffect {
  const first = !state.started;
  const own = state.turn === undefined && !state.ownTurn;
  return {
    events: own ? [{ type: "session.status_running" }, ...result.events] : result.events,
    session: { ...(own ? { status: "running" as const } : {}), ...(first ? { claude_started: 1 } : {}) },
    after: () => {
      state.started = true;
      if (own) state.ownTurn = true;
    },
  };
}

/** What the session has to note when its process ends. */
export function onProcessExit(state: ProcessState, exit: ProcessExit, nowMs: number): LineEffect {
  const { turn } = state;
  const running = (turn?.sent === true && !turn.finished) || state.ownTurn;
  const closing = { outcome: "expired" as const, message: "Claude Code ended before anybody answered", nowMs };
  const expire = (tx: Tx) => closeQuestions(tx, state.sessionId, closing);
  if (!running) return { events: [], more: async (tx) => ({ events: await expire(tx) }) };
  const restart = turn === undefined || turn.stopped ? undefined : restartAs(state, exit);
  if (restart !== undefined) return { events: [], after: () => turn?.end({ kind: "restart", conversation: restart }) };
  return {
    events: [],
    session: { status: "idle" },
    more: async (tx) => ({ events: [...(await expire(tx)), ...exitEvents(state, exit)] }),
    also: async (tx) => {
      if (turn !== undefined) await markMessage(tx, turn.messageId, "done");
    },
    after: () => {
      state.ownTurn = false;
      turn?.end({ kind: "done" });
    },
  };
}

/** The CLI knows the conversation although we thought it did not, or the other way round. */
function restartAs(state: ProcessState, exit: ProcessExit): "new" | "resume" | undefined {
  if (state.started) return undefined;
  if (state.conversationNotFound || exit.stderr.includes("No conversation found")) return "new";
  return /Session ID .* is already in use/.test(exit.stderr) ? "resume" : undefined;
}

function exitEvents(state: ProcessState, exit: ProcessExit): NewEvent[] {
  if (state.turn?.stopped === true) return [idleEvent("stopped")];
  const how = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`;
  const output = [...state.startupErrors, exit.stderr].filter((text) => text !== "").join("\n");
  if (!state.started) {
    const detail = `Claude Code ended at its start with ${how}`;
    return [
      errorEvent(new TurnFailure("claude_start_failed", { detail, exitCode: exit.code, output })),
      idleEvent("failed"),
    ];
  }
  const detail = `Claude Code ended in the middle of the turn with ${how}`;
  const failure = new TurnFailure("turn_interrupted", { detail, exitCode: exit.code, output });
  return [errorEvent(failure), idleEvent("interrupted")];
}

export async function markMessage(tx: Tx, id: string, state: "sent" | "taken" | "done"): Promise<void> {
  await tx.updateTable("messages").set({ state }).where("id", "=", id).execute();
}

/** Adds a turn's cost and tokens to the session's. */
async function addUsage(tx: Tx, sessionId: string, events: readonly NewEvent[]): Promise<void> {
  const result = events.find(
    (event): event is NewEvent & EventOf<"holdfast.turn_result"> => event.type === "holdfast.turn_result",
  );
  if (result === undefined) return;
  const row = await tx
    .selectFrom("sessions")
    .select(["usage_json", "cost_usd"])
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow();
  const usage = JSON.parse(row.usage_json) as Record<string, number>;
  const add = (name: "input_tokens" | "output_tokens" | "cache_read_input_tokens") =>
    (usage[name] = (usage[name] ?? 0) + result.usage[name]);
  add("input_tokens");
  add("output_tokens");
  add("cache_read_input_tokens");
  await tx
    .updateTable("sessions")
    .set({ usage_json: JSON.stringify(usage), cost_usd: row.cost_usd + result.cost_usd })
    .where("id", "=", sessionId)
    .execute();
}
