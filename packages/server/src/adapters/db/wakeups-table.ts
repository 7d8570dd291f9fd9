import { type Kysely, sql } from "kysely";

/** When Claude wants to be woken: what it keeps in its own process is lost with that. */
export async function wakeupsTable(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("wakeups")
    .addColumn("id", "text", (column) => column.primaryKey().notNull())
    .addColumn("session_id", "text", (column) => column.notNull().references("sessions.id"))
    .addColumn("process_id", "text", (column) => column.notNull())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("claude_id", "text")
    .addColumn("prompt", "text", (column) => column.notNull())
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("cron", "text")
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("due_at", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await sql`create index wakeups_due on wakeups (due_at) where state = 'pending'`.execute(db);
  await sql`create index wakeups_by_session on wakeups (session_id, due_at)`.execute(db);
}
