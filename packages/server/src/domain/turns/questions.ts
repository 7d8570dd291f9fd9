import { type MapResult, type PermissionAnswer, permissionResponse, type Signal } from "@holdfast/claude";
import type { SessionAgent } from "@holdfast/protocol";
import type { Database, Tx } from "../../ports/database.ts";
import { policyOf } from "../agents/launch.ts";
import { askedEvent, closeQuestions, openQuestions } from "../sessions/permissions.ts";
import type { ClaudeProcess, LineEffect } from "./claude-process.ts";

type PermissionRequest = Extract<Signal, { type: "permission_request" }>;

/** Tool calls say what the agent's policy says of them. */
export function withPolicy(result: MapResult, agent: SessionAgent | null): MapResult {
  const asks = (name: string) => policyOf(agent, name) === "always_ask";
  if (!result.events.some((event) => event.type === "agent.tool_use" && asks(event.name))) return result;
  const events = result.events.map((event) =>
    event.type === "agent.tool_use" && asks(event.name) ? { ...event, evaluated_permission: "ask" as const } : event,
  );
  return { ...result, events };
}

/** The question becomes the session's: it waits, idle, until someone answers. */
export function onQuestion(
  session: { id: string; processId: string; nowMs: number },
  signal: PermissionRequest,
  result: MapResult,
): LineEffect {
  const row = {
    session_id: session.id,
    process_id: session.processId,
    request_id: signal.requestId,
    event_id: signal.toolEventId ?? signal.requestId,
    input_json: JSON.stringify(signal.request.input),
    state: "pending" as const,
    answer_json: null,
    created_at: session.nowMs,
  };
  return {
    events: result.events,
    more: async (tx) => {
      // The same question again: a line that was read twice, or a host that asked for what is open.
      await tx
        .insertInto("permissions")
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return { events: [askedEvent(await openQuestions(tx, session.id))], session: { status: "idle" } };
    },
  };
}

/** Claude withdrew it, e.g. because the turn was stopped. */
export function onQuestionWithdrawn(sessionId: string, requestId: string, result: MapResult): LineEffect {
  return {
    events: result.events,
    more: async (tx) => {
      const before = await openQuestions(tx, sessionId);
      await closeQuestions(tx, sessionId, requestId);
      const after = await openQuestions(tx, sessionId);
      if (before.length === after.length || after.length > 0) return { events: [] };
      return { events: [{ type: "session.status_running" }], session: { status: "running" } };
    },
  };
}

const turnEnded: PermissionAnswer = { behavior: "deny", message: "The turn ended before anybody answered." };

/** What is still open when a turn ends is refused: nobody will be asked any more. */
export async function refuseOpen(tx: Tx, sessionId: string): Promise<void> {
  await tx
    .updateTable("permissions")
    .set({ state: "answered", answer_json: JSON.stringify(turnEnded) })
    .where("session_id", "=", sessionId)
    .where("state", "=", "pending")
    .execute();
}

/** Tells the process every answer that it has not got yet. Safe to repeat: the guest writes each line once. */
export async function deliverAnswers(db: Database, process: ClaudeProcess, signal: AbortSignal): Promise<void> {
  const rows = await db
    .selectFrom("permissions")
    .select(["request_id", "answer_json"])
    .where("process_id", "=", process.processId)
    .where("state", "=", "answered")
    .orderBy("created_at", "asc")
    .execute();
  for (const { request_id: requestId, answer_json: json } of rows) {
    if (json === null) continue;
    const line = permissionResponse(requestId, JSON.parse(json) as PermissionAnswer);
    await process.send(line, `answer-${requestId}`, signal);
    await db
      .updateTable("permissions")
      .set({ state: "delivered" })
      .where("process_id", "=", process.processId)
      .where("request_id", "=", requestId)
      .execute();
  }
}
