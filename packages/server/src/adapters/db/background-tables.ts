import type { Kysely } from "kysely";

/** What runs beside a session's turns. */
export async function backgroundTables(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("sessions").addColumn("background_json", "text").execute();
}
