import type { Kysely } from "kysely";

/** Agents with their versions, environments, questions of the CLI; what sessions note of them. */
export async function managedAgentsTables(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("agents")
    .addColumn("id", "text", (column) => column.primaryKey().notNull())
    .addColumn("account_id", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("version", "integer", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("archived_at", "bigint")
    .execute();
  await db.schema.createIndex("agents_by_account").on("agents").columns(["account_id", "id"]).execute();
  await db.schema
    .createTable("agent_versions")
    .addColumn("agent_id", "text", (column) => column.notNull().references("agents.id"))
    .addColumn("version", "integer", (column) => column.notNull())
    .addColumn("definition_json", "text", (column) => column.notNull())
    .addColumn("metadata_json", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("agent_versions_pk", ["agent_id", "version"])
    .execute();
  await db.schema
    .createTable("environments")
    .addColumn("id", "text", (column) => column.primaryKey().notNull())
    .addColumn("account_id", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("description", "text")
    .addColumn("config_json", "text", (column) => column.notNull())
    .addColumn("commands_json", "text", (column) => column.notNull())
    .addColumn("metadata_json", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("archived_at", "bigint")
    .execute();
  await db.schema.createIndex("environments_by_account").on("environments").columns(["account_id", "id"]).execute();
  await db.schema
    .createTable("permissions")
    .addColumn("session_id", "text", (column) => column.notNull().references("sessions.id"))
    .addColumn("process_id", "text", (column) => column.notNull())
    .addColumn("request_id", "text", (column) => column.notNull())
    .addColumn("event_id", "text", (column) => column.notNull())
    .addColumn("input_json", "text", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("answer_json", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("permissions_pk", ["process_id", "request_id"])
    .execute();
  await db.schema.createIndex("permissions_by_session").on("permissions").columns(["session_id", "state"]).execute();
  await sessionColumns(db);
}

/** One statement each: SQLite adds one column at a time. */
async function sessionColumns(db: Kysely<unknown>): Promise<void> {
  const sessions = () => db.schema.alterTable("sessions");
  await sessions()
    .addColumn("agent_id", "text", (column) => column.notNull().defaultTo("agent_default"))
    .execute();
  await sessions()
    .addColumn("agent_version", "integer", (column) => column.notNull().defaultTo(1))
    .execute();
  await sessions().addColumn("agent_json", "text").execute();
  await sessions()
    .addColumn("environment_id", "text", (column) => column.notNull().defaultTo("env_default"))
    .execute();
  await sessions().addColumn("archived_at", "bigint").execute();
}
