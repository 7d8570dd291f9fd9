import { type Kysely, sql } from "kysely";

interface OldRow {
  account_id: string;
  key: string;
  response_json: string;
}

/**
 * What is needed to delete whole. Results of requests are remembered as ids, and go with their session; what Claude
 * Code keeps of a deleted session in its workspace is noted until it is gone.
 */
export async function deletionTables(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("idempotency").addColumn("session_id", "text").execute();
  await db.schema.createIndex("idempotency_by_session").on("idempotency").columns(["session_id"]).execute();
  await db.schema.createIndex("idempotency_by_age").on("idempotency").columns(["created_at"]).execute();
  await db.schema.createIndex("processes_by_session").ifNotExists().on("processes").columns(["session_id"]).execute();
  await db.schema.createIndex("permission_rules_by_account").on("permission_rules").columns(["account_id"]).execute();
  await db.schema
    .createTable("erasures")
    .addColumn("workspace_id", "text", (column) => column.notNull())
    .addColumn("claude_session_id", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("erasures_pk", ["workspace_id", "claude_session_id"])
    .execute();
  await rememberIds(db);
}

/** Results of before hold whole events, prompts among them. Of sessions that are gone nothing stays. */
async function rememberIds(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<OldRow>`select account_id, key, response_json from idempotency`.execute(db);
  for (const { account_id: account, key, response_json: json } of rows) {
    const session = /^(?:key|body):send:(sesn_[A-Za-z0-9]+):/.exec(key)?.[1] ?? (JSON.parse(json) as unknown);
    const sessionId = typeof session === "string" && session.startsWith("sesn_") ? session : null;
    const there = sessionId !== null && (await sql`select id from sessions where id = ${sessionId}`.execute(db));
    const where = sql`where account_id = ${account} and key = ${key}`;
    if (there && there.rows.length === 0) await sql`delete from idempotency ${where}`.execute(db);
    else
      await sql`update idempotency set session_id = ${sessionId}, response_json = ${idsOf(json)} ${where}`.execute(db);
  }
}

function idsOf(json: string): string {
  const result = JSON.parse(json) as unknown;
  return Array.isArray(result) ? JSON.stringify(result.map((event: { id: string }) => event.id)) : json;
}
