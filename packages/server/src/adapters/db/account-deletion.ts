import { type Kysely, sql } from "kysely";

/** An account is marked as deleted first; its row goes when all that was its own is gone. */
export async function accountDeletion(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("accounts").addColumn("deleted_at", "bigint").execute();
  await sql`create index accounts_deleted on accounts (deleted_at) where deleted_at is not null`.execute(db);
  // Also for the workspace that a row names: whether another one names it is asked when the workspace's row goes.
  await sql`create index sandboxes_by_workspace on sandboxes (workspace_id)`.execute(db);
}
