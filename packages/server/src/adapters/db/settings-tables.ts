import type { Kysely } from "kysely";

/** What a session is set to beyond its permission mode, and what its process knows of that. */
export async function settingsTables(db: Kysely<unknown>): Promise<void> {
  const sessions = () => db.schema.alterTable("sessions");
  await sessions().addColumn("model", "text").execute();
  await sessions().addColumn("effort", "text").execute();
  for (const column of ["settings_seq", "mode_seq"])
    await sessions()
      .addColumn(column, "bigint", (each) => each.notNull().defaultTo(0))
      .execute();
  await db.schema.alterTable("processes").addColumn("settings_json", "text").execute();
}
