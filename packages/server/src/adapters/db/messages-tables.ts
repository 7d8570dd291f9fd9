import type { Kysely } from "kysely";

/** The queue: messages that can be changed, found again by their client's id, and stopped across a restart. */
export async function messagesTables(db: Kysely<unknown>): Promise<void> {
  const messages = () => db.schema.alterTable("messages");
  await messages()
    .addColumn("delivery", "text", (column) => column.notNull().defaultTo("next"))
    .execute();
  await messages().addColumn("client_id", "text").execute();
  await messages().addColumn("edited_at", "bigint").execute();
  await messages().addColumn("removed_at", "bigint").execute();
  await messages().addColumn("stop_requested_at", "bigint").execute();
  // NULL is never equal to NULL, on both databases: only named ones are unique.
  await db.schema
    .createIndex("messages_by_client")
    .on("messages")
    .columns(["session_id", "client_id"])
    .unique()
    .execute();
  await db.schema.createIndex("messages_by_event").on("messages").columns(["session_id", "event_id"]).execute();
  await db.schema.alterTable("sessions").addColumn("stop_requested_at", "bigint").execute();
  await db.schema.alterTable("processes").addColumn("ending_at", "bigint").execute();
}
