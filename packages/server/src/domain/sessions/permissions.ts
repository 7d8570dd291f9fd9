import type { PermissionAnswer } from "@holdfast/claude";
import { AppError, type NewEvent } from "@holdfast/protocol";
import type { Database, Tx } from "../../ports/database.ts";

export interface Confirmation {
  /** Of the `agent.tool_use` event. */
  eventId: string;
  result: "allow" | "deny";
  denyMessage: string | undefined;
  /** Of the field, for errors. */
  path: string;
}

const defaultDenial = "The user refused this. Ask what to do instead, or go on without it.";

/** Events whose questions are open, oldest first. */
export async function openQuestions(tx: Database, sessionId: string): Promise<string[]> {
  const rows = await tx
    .selectFrom("permissions")
    .select("event_id")
    .where("session_id", "=", sessionId)
    .where("state", "=", "pending")
    .orderBy("created_at", "asc")
    .orderBy("request_id", "asc")
    .execute();
  return rows.map((row) => row.event_id);
}

/** A question counts one answer. Throws `confirmation_late` for another one, `request_invalid` when nothing was asked. */
export async function answerQuestion(tx: Tx, sessionId: string, confirmation: Confirmation): Promise<void> {
  const { eventId, result, denyMessage, path } = confirmation;
  const rows = await tx
    .selectFrom("permissions")
    .selectAll()
    .where("session_id", "=", sessionId)
    .where("event_id", "=", eventId)
    .orderBy("created_at", "desc")
    .execute();
  const open = rows.find(({ state }) => state === "pending");
  if (open === undefined) {
    const [known] = rows;
    if (known === undefined) {
      const message = "names no tool call of this session that asked for a confirmation";
      throw new AppError("request_invalid", { detail: `${path}: ${message}`, errors: [{ path, message }] });
    }
    const how = known.state === "closed" ? "is no longer open" : "has been answered already";
    throw new AppError("confirmation_late", {
      detail: `The question of the tool call ${eventId} ${how}`,
      errors: [{ path, message: how }],
    });
  }
  const answer: PermissionAnswer =
    result === "allow"
      ? { behavior: "allow", updatedInput: JSON.parse(open.input_json) as Record<string, unknown> }
      : { behavior: "deny", message: denyMessage || defaultDenial };
  await tx
    .updateTable("permissions")
    .set({ state: "answered", answer_json: JSON.stringify(answer) })
    .where("process_id", "=", open.process_id)
    .where("request_id", "=", open.request_id)
    .execute();
}

/** Their process is gone, or withdrew them: nobody waits for an answer any more. */
export async function closeQuestions(tx: Tx, sessionId: string, requestId?: string): Promise<void> {
  let query = tx
    .updateTable("permissions")
    .set({ state: "closed" })
    .where("session_id", "=", sessionId)
    .where("state", "=", "pending");
  if (requestId !== undefined) query = query.where("request_id", "=", requestId);
  await query.execute();
}

/** What the session says while it waits. */
export function askedEvent(eventIds: string[]): NewEvent {
  return {
    type: "session.status_idle",
    stop_reason: { type: "requires_action", event_ids: eventIds },
    stop_details: null,
  };
}
