import type { MapperState } from "@holdfast/claude";
import type { Database } from "../../ports/database.ts";

/** The oldest message that is not done; `sent` when it went to Claude before. */
export async function nextMessage(db: Database, sessionId: string) {
  const row = await db
    .selectFrom("messages")
    .innerJoin("events", "events.id", "messages.event_id")
    .select(["messages.id as id", "messages.content_json as content", "messages.state as state"])
    .where("messages.session_id", "=", sessionId)
    .where("messages.state", "!=", "done")
    .orderBy("events.seq", "asc")
    .limit(1)
    .executeTakeFirst();
  return row && { id: row.id, content: JSON.parse(row.content) as unknown, sent: row.state !== "queued" };
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
