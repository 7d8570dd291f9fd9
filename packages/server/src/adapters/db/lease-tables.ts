import type { Kysely } from "kysely";

// Kysely's migrations know no schema: the schema is what they make.
type AnyDb = Kysely<Record<string, Record<string, unknown>>>;

/** Which servers live, who of them works on which workspace, and how far each save to S3 has come. */
export async function leaseTables(unknownDb: Kysely<unknown>): Promise<void> {
  const db = unknownDb as AnyDb;
  await db.schema
    .createTable("servers")
    .addColumn("id", "text", (column) => column.primaryKey().notNull())
    .addColumn("beats", "bigint", (column) => column.notNull())
    .addColumn("host", "text", (column) => column.notNull())
    .addColumn("started_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.alterTable("workspaces").addColumn("server_id", "text").execute();
  await db.schema.alterTable("syncs").addColumn("manifest_json", "text").execute();
  await db.schema.createIndex("workspaces_by_server").on("workspaces").column("server_id").execute();
  await db.schema.createIndex("sessions_by_workspace").on("sessions").column("workspace_id").execute();
  await db.schema.createIndex("syncs_by_workspace").on("syncs").columns(["workspace_id", "state"]).execute();
  await openRows(db);
}

/** Servers look for work again and again: what is done must cost them nothing. */
async function openRows(db: AnyDb): Promise<void> {
  const open = (name: string, table: string, column: string) => db.schema.createIndex(name).on(table).column(column);
  await open("messages_open", "messages", "session_id").where("state", "!=", "done").execute();
  await open("sessions_running", "sessions", "workspace_id").where("status", "=", "running").execute();
  await open("permissions_open", "permissions", "session_id").where("state", "in", ["pending", "answered"]).execute();
  await open("sandboxes_open", "sandboxes", "workspace_id").where("state", "!=", "ended").execute();
  await open("processes_open", "processes", "session_id").where("state", "!=", "ended").execute();
}
