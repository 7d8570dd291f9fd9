import type { MapperState } from "@holdfast/claude";
import type { Database } from "../../ports/database.ts";

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

export async function sessionStatus(db: Database, sessionId: string) {
  return await db
    .selectFrom("sessions")
    .select(["status", "archived_at"])
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow();
}
