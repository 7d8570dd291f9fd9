import type { CreateTableBuilder, Kysely } from "kysely";
import type { Migration } from "kysely/migration";
import { accountDeletion } from "./account-deletion.ts";
import { backgroundTables } from "./background-tables.ts";
import { claudeStateTable } from "./claude-state-table.ts";
import { deletionTables } from "./deletion-tables.ts";
import { leaseTables } from "./lease-tables.ts";
import { loginsTables } from "./logins-tables.ts";
import { managedAgentsTables } from "./managed-agents-tables.ts";
import { messagesTables } from "./messages-tables.ts";
import { openRows } from "./open-rows.ts";
import { questionsTables } from "./questions-tables.ts";
import { rawTables } from "./raw-tables.ts";
import { retentionIndexes } from "./retention-indexes.ts";
import { settingsTables } from "./settings-tables.ts";
import { straysTable } from "./strays-table.ts";
import { wakeupsTable } from "./wakeups-table.ts";

// Kysely's migrations know no schema: the schema is what they make.
type AnyDb = Kysely<unknown>;

const table = (db: AnyDb, name: string) => db.schema.createTable(name);
const id = <T extends string, C extends string>(builder: CreateTableBuilder<T, C>) =>
  builder.addColumn("id", "text", (column) => column.primaryKey().notNull());
const createdAt = <T extends string, C extends string>(builder: CreateTableBuilder<T, C>) =>
  builder.addColumn("created_at", "bigint", (column) => column.notNull());

async function accounts(db: AnyDb): Promise<void> {
  await createdAt(id(table(db, "accounts")))
    .addColumn("name", "text", (column) => column.notNull().unique())
    .execute();
  await createdAt(id(table(db, "api_keys")))
    .addColumn("account_id", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("last4", "text", (column) => column.notNull())
    .addColumn("last_used_at", "bigint")
    .execute();
  await createdAt(id(table(db, "workspaces")))
    .addColumn("account_id", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("files_volume", "text", (column) => column.notNull())
    .addColumn("state_volume", "text", (column) => column.notNull())
    .addUniqueConstraint("workspaces_account_name", ["account_id", "name"])
    .execute();
  await db.schema
    .createTable("idempotency")
    .addColumn("account_id", "text", (column) => column.notNull())
    .addColumn("key", "text", (column) => column.notNull())
    .addColumn("body_hash", "text", (column) => column.notNull())
    .addColumn("response_json", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("idempotency_pk", ["account_id", "key"])
    .execute();
}

async function sessions(db: AnyDb): Promise<void> {
  await createdAt(id(table(db, "sessions")))
    .addColumn("account_id", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("workspace_id", "text", (column) => column.notNull().references("workspaces.id"))
    .addColumn("title", "text")
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("metadata_json", "text", (column) => column.notNull())
    .addColumn("mapper_json", "text")
    .addColumn("generation", "bigint", (column) => column.notNull())
    .addColumn("last_seq", "bigint", (column) => column.notNull())
    .addColumn("cost_usd", "double precision", (column) => column.notNull())
    .addColumn("usage_json", "text", (column) => column.notNull())
    .addColumn("claude_session_id", "text", (column) => column.notNull())
    .addColumn("claude_started", "integer", (column) => column.notNull())
    .addColumn("process_id", "text")
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("sessions_by_account").on("sessions").columns(["account_id", "id"]).execute();
  await createdAt(db.schema.createTable("events"))
    .addColumn("session_id", "text", (column) => column.notNull().references("sessions.id"))
    .addColumn("seq", "bigint", (column) => column.notNull())
    .addColumn("id", "text", (column) => column.notNull().unique())
    .addColumn("type", "text", (column) => column.notNull())
    .addColumn("event_json", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("events_pk", ["session_id", "seq"])
    .execute();
  await createdAt(id(table(db, "messages")))
    .addColumn("session_id", "text", (column) => column.notNull().references("sessions.id"))
    .addColumn("event_id", "text", (column) => column.notNull())
    .addColumn("content_json", "text", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("messages_by_session").on("messages").columns(["session_id", "state"]).execute();
}

async function machines(db: AnyDb, binary: "blob" | "bytea"): Promise<void> {
  await createdAt(id(table(db, "sandboxes")))
    .addColumn("workspace_id", "text", (column) => column.notNull().references("workspaces.id"))
    .addColumn("account_id", "text", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("provider_id", "text")
    .addColumn("tags_json", "text", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await createdAt(id(table(db, "processes")))
    .addColumn("session_id", "text", (column) => column.notNull().references("sessions.id"))
    .addColumn("sandbox_id", "text", (column) => column.notNull())
    .addColumn("generation", "bigint", (column) => column.notNull())
    .addColumn("stdout_offset", "bigint", (column) => column.notNull())
    .addColumn("stderr_offset", "bigint", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("exit_code", "integer")
    .execute();
  await db.schema
    .createTable("raw_lines")
    .addColumn("session_id", "text", (column) => column.notNull())
    .addColumn("process_id", "text", (column) => column.notNull())
    .addColumn("offset", "bigint", (column) => column.notNull())
    .addColumn("bytes", binary as "blob", (column) => column.notNull())
    .addPrimaryKeyConstraint("raw_lines_pk", ["process_id", "offset"])
    .execute();
  await createdAt(id(table(db, "syncs")))
    .addColumn("account_id", "text", (column) => column.notNull())
    .addColumn("workspace_id", "text", (column) => column.notNull())
    .addColumn("session_id", "text", (column) => column.notNull())
    .addColumn("timestamp", "bigint", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addUniqueConstraint("syncs_account_timestamp", ["account_id", "timestamp"])
    .execute();
}

async function keysAndDeletion(db: AnyDb): Promise<void> {
  const keys = () => db.schema.alterTable("api_keys");
  await keys()
    .addColumn("name", "text", (column) => column.notNull().defaultTo("first"))
    .execute();
  await keys()
    .addColumn("prefix", "text", (column) => column.notNull().defaultTo("hfk_"))
    .execute();
  await keys().addColumn("revoked_at", "bigint").execute();
  await db.schema.alterTable("workspaces").addColumn("deleted_at", "bigint").execute();
  await db.schema.alterTable("workspaces").addColumn("purged_at", "bigint").execute();
}

/** In order; never changed once released, only added to. `binary` is the database's type for bytes. */
export function migrations(binary: "blob" | "bytea"): Record<string, Migration> {
  return {
    "001_foundations": {
      async up(db: AnyDb) {
        await accounts(db);
        await sessions(db);
        await machines(db, binary);
      },
    },
    "002_keys_and_deletion": { up: keysAndDeletion },
    "003_managed_agents": { up: managedAgentsTables },
    "004_leases": { up: leaseTables },
    "005_messages": { up: messagesTables },
    "006_questions": { up: questionsTables },
    "007_raw": { up: (db) => rawTables(db, binary) },
    "008_strays": { up: straysTable },
    "009_logins": { up: loginsTables },
    "010_deletion": { up: deletionTables },
    "011_open_rows": { up: openRows },
    "012_account_deletion": { up: accountDeletion },
    "013_retention": { up: retentionIndexes },
    "014_settings": { up: settingsTables },
    "015_background": { up: backgroundTables },
    "016_wakeups": { up: wakeupsTable },
    "017_claude_state": { up: claudeStateTable },
  };
}
