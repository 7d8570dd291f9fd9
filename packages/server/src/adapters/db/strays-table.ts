import type { Kysely } from "kysely";

/** Sandboxes that carry our tag and that nobody here knows; and which ended sandbox's tokens were revoked. */
export async function straysTable(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("strays")
    .addColumn("provider_id", "text", (column) => column.primaryKey().notNull())
    .addColumn("account_id", "text", (column) => column.notNull())
    .addColumn("workspace_id", "text", (column) => column.notNull())
    .addColumn("first_seen_at", "bigint", (column) => column.notNull())
    .addColumn("next_try_at", "bigint", (column) => column.notNull())
    .addColumn("detail", "text")
    .execute();
  await db.schema.alterTable("sandboxes").addColumn("revoked_at", "bigint").execute();
}
