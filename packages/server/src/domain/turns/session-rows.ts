import type { MapperState } from "@holdfast/claude";
import type { Database } from "../../ports/database.ts";
import { inHand, nextOf, openMessages } from "../sessions/queue.ts";

/** What is to be worked on: what went to Claude before, else what runs next. */
export async function nextMessage(db: Database, sessionId: string) {
  const rows = await openMessages(db, sessionId);
  const row = inHand(rows)[0] ?? nextOf(rows);
  return row && { id: row.id, content: JSON.parse(row.content_json) as unknown, sent: row.state !== "queued" };
}

export async function sessionState(db: Database, sessionId: string) {
  const row = await db
    .selectFrom("sessions")
    .select(["status", "claude_session_id", "claude_started", "mapper_json"])
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow();
  return {
    status: row.status,
    claudeSessionId: row.claude_session_id,
    claudeStarted: row.claude_started === 1,
    mapper: row.mapper_json === null ? null : (JSON.parse(row.mapper_json) as MapperState),
  };
}
