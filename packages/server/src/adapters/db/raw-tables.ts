import type { Kysely } from "kysely";

/**
 * The raw record in batches: one Zstandard frame for the lines of one commit, large lines as blobs of their own. Rows
 * of before, one line each, are batches of one.
 */
export async function rawTables(db: Kysely<unknown>, binary: "blob" | "bytea"): Promise<void> {
  await db.schema.alterTable("raw_lines").renameTo("raw_batches").execute();
  await db.schema
    .alterTable("raw_batches")
    .addColumn("lines", "integer", (column) => column.notNull().defaultTo(1))
    .execute();
  await db.schema.alterTable("raw_batches").addColumn("blobs_json", "text").execute();
  await db.schema.createIndex("raw_batches_by_session").on("raw_batches").column("session_id").execute();
  await db.schema
    .createTable("blobs")
    .addColumn("session_id", "text", (column) => column.notNull())
    .addColumn("hash", "text", (column) => column.notNull())
    .addColumn("size", "bigint", (column) => column.notNull())
    .addColumn("bytes", binary as "blob", (column) => column.notNull())
    .addPrimaryKeyConstraint("blobs_pk", ["session_id", "hash"])
    .execute();
}
