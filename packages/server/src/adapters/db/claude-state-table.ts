import type { Kysely } from "kysely";

/** What Claude Code said last of itself, by question. */
export async function claudeStateTable(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("claude_state")
    .addColumn("session_id", "text", (column) => column.notNull().references("sessions.id"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("query", "text", (column) => column.notNull())
    .addColumn("answer_json", "text", (column) => column.notNull())
    .addColumn("as_of", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("claude_state_pk", ["session_id", "name", "query"])
    .execute();
}
