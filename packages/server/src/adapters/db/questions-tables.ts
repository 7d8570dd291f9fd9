import type { Kysely } from "kysely";

/** What a question showed and how it ended; rules that are remembered; a session's permission mode. */
export async function questionsTables(db: Kysely<unknown>): Promise<void> {
  const permissions = () => db.schema.alterTable("permissions");
  await permissions().addColumn("question_json", "text").execute();
  await permissions().addColumn("resolution_json", "text").execute();
  await db.schema.alterTable("sessions").addColumn("permission_mode", "text").execute();
  await db.schema
    .createTable("permission_rules")
    .addColumn("id", "text", (column) => column.primaryKey().notNull())
    .addColumn("account_id", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("workspace_id", "text", (column) => column.notNull().references("workspaces.id"))
    .addColumn("rule", "text", (column) => column.notNull())
    .addColumn("session_id", "text", (column) => column.notNull())
    .addColumn("created_by", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("deleted_at", "bigint")
    .execute();
  await db.schema
    .createIndex("permission_rules_once")
    .on("permission_rules")
    .columns(["workspace_id", "rule"])
    .unique()
    .where("deleted_at" as never, "is", null)
    .execute();
}
