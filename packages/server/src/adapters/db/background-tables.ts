import type { Kysely } from "kysely";

/** What runs beside a session's turns, and what Claude notes of its work. */
export async function backgroundTables(db: Kysely<unknown>): Promise<void> {
  for (const column of ["background_json", "todos_json"])
    await db.schema.alterTable("sessions").addColumn(column, "text").execute();
}
