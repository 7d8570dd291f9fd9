import type { Kysely } from "kysely";

/** Browsers that are logged in, and links that have been used. */
export async function loginsTables(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("logins")
    .addColumn("id", "text", (column) => column.primaryKey().notNull())
    .addColumn("account_id", "text", (column) => column.notNull())
    .addColumn("key_id", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("logins_by_account").on("logins").columns(["account_id", "id"]).execute();
  await db.schema.createIndex("logins_by_expiry").on("logins").column("expires_at").execute();
  await db.schema
    .createTable("used_login_links")
    .addColumn("nonce", "text", (column) => column.primaryKey().notNull())
    .addColumn("expires_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("used_login_links_by_expiry").on("used_login_links").column("expires_at").execute();
}
