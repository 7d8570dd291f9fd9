import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Kysely } from "kysely";
import { Migrator } from "kysely/migration";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase } from "../src/adapters/db/database.ts";
import { sqliteDialect } from "../src/adapters/db/dialect.ts";
import { migrations } from "../src/adapters/db/migrations.ts";
import { forgetOld } from "../src/domain/idempotency.ts";
import { databaseOf, onPostgres, type TestServer, testServer } from "./_server.ts";
import { rowsWith } from "./_tables.ts";

let it: TestServer;
beforeAll(async () => {
  it = await testServer();
});
afterAll(() => it?.[Symbol.asyncDispose]());

const word = () => `canary${randomBytes(12).toString("hex")}`;
const input = { agent: "agent_default", environment_id: "env_default" };

/** Files of the database that hold the word: tables, journal and all. */
function filesWith(dir: string, text: string): string[] {
  return readdirSync(dir).filter((name) => name.includes("sqlite") && readFileSync(join(dir, name)).includes(text));
}

test("a deleted session leaves no word in any table, nor in the files of the database", async () => {
  const { client } = await it.account("deletes");
  const canary = word();
  const kept = word();
  const other = await client.beta.sessions.create({ ...input, title: kept });
  const { id } = await client.beta.sessions.create({ ...input, title: canary, metadata: { note: canary } });
  const message = (text: string) => ({ type: "user.message" as const, content: [{ type: "text" as const, text }] });
  await client.beta.sessions.events.send(id, { events: [message(canary)] }, { idempotencyKey: canary });
  await client.beta.sessions.events.send(id, { events: [message(`${canary} again`)] });
  await client.beta.sessions.events.send(other.id, { events: [message(kept)] });
  const database = await databaseOf(it.dataDir);
  expect(await rowsWith(database, canary)).toEqual(expect.arrayContaining(["events", "messages", "sessions"]));
  if (!onPostgres()) expect(filesWith(it.dataDir, canary)).not.toEqual([]);
  await client.beta.sessions.delete(id);
  expect(await rowsWith(database, canary)).toEqual([]);
  expect(await rowsWith(database, id)).toEqual([]);
  if (!onPostgres()) await expect.poll(() => filesWith(it.dataDir, canary)).toEqual([]);
  expect(await rowsWith(database, kept)).toEqual(expect.arrayContaining(["events", "sessions"]));
});

test("a result is remembered as ids, and given again as it was", async () => {
  const { apiKey } = await it.account("repeats");
  const create = await it.fetch("/v1/sessions", { method: "POST", key: apiKey, body: JSON.stringify(input) });
  const { id } = (await create.json()) as { id: string };
  const canary = word();
  const send = async (headers: Record<string, string>) => {
    const events = ["one", "two"].map((text) => ({
      type: "user.message",
      content: [{ type: "text", text: `${canary} ${text}` }],
    }));
    const path = `/v1/sessions/${id}/events`;
    const response = await it.fetch(path, { method: "POST", key: apiKey, headers, body: JSON.stringify({ events }) });
    return (await response.json()) as { data: { id: string }[] };
  };
  const first = await send({ "idempotency-key": "k" });
  expect(first.data).toHaveLength(2);
  expect(await send({ "idempotency-key": "k" })).toEqual(first);
  const unnamed = await send({});
  expect(unnamed.data.map((event) => event.id)).not.toEqual(first.data.map((event) => event.id));
  expect(await send({ "x-stainless-retry-count": "1" })).toEqual(unnamed);
  expect(await rowsWith(await databaseOf(it.dataDir), canary)).not.toContain("idempotency");
});

test.skipIf(onPostgres())(
  "what nobody can ask for any more is forgotten: bodies after ten minutes, keys after a day",
  async () => {
    const dir = mkdtempSync(join(tmpdir(), "holdfast-deleted-"));
    const file = join(dir, "server.sqlite");
    await using opened = await openDatabase(file);
    const { db } = opened;
    const minute = 60_000;
    const rows = [1, 11, 60 * 24 + 1].flatMap((age) =>
      ["body", "key"].map((kind) => ({
        account_id: "acc_x",
        key: `${kind}:create:${age}`,
        body_hash: "",
        response_json: '"x"',
        session_id: null,
        created_at: 2e12 - age * minute,
      })),
    );
    await db.insertInto("idempotency").values(rows).execute();
    await forgetOld(db, 2e12);
    const left = await db.selectFrom("idempotency").select("key").orderBy("key").execute();
    expect(left.map(({ key }) => key)).toEqual(["body:create:1", "key:create:1", "key:create:11"]);
    rmSync(dir, { recursive: true, force: true });
  },
);

test.skipIf(onPostgres())("an older database loses the prompts that it kept, also those deleted long ago", async () => {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-deleted-"));
  const file = join(dir, "server.sqlite");
  const [deleted, remembered, orphaned] = [word(), word(), word()];
  const before = new Kysely<unknown>({ dialect: sqliteDialect(file) });
  const all = migrations("blob");
  const provider = { getMigrations: async () => all };
  await new Migrator({ db: before, provider }).migrateTo("008_strays");
  await before.destroy();
  const raw = new DatabaseSync(file);
  raw.exec(`
    PRAGMA secure_delete = OFF; PRAGMA foreign_keys = OFF;
    CREATE TABLE padding (text TEXT); INSERT INTO padding SELECT '${deleted}' || hex(randomblob(2000)) FROM json_each('[1,2,3,4]');
    DROP TABLE padding;
    INSERT INTO sessions (id, account_id, workspace_id, status, metadata_json, generation, last_seq, cost_usd, usage_json,
      claude_session_id, claude_started, updated_at, created_at, agent_id, agent_version, environment_id)
      VALUES ('sesn_there', 'a', 'w', 'idle', '{}', 0, 0, 0, '{}', 'c', 0, 0, 0, 'agent_default', 1, 'env_default');
    INSERT INTO idempotency VALUES
      ('a', 'key:send:sesn_there:k', 'h', '[{"id":"sevt_1","content":"${remembered}"}]', 1),
      ('a', 'body:send:sesn_gone:h', 'h', '[{"id":"sevt_2","content":"${orphaned}"}]', 1),
      ('a', 'key:create:k', 'h', '"sesn_there"', 1),
      ('a', 'key:agent:k', 'h', '"agent_x"', 1);
    PRAGMA wal_checkpoint(TRUNCATE);`);
  raw.close();
  for (const text of [deleted, remembered, orphaned]) expect(filesWith(dir, text)).not.toEqual([]);
  {
    await using opened = await openDatabase(file);
    expect(opened.untidy).toBeUndefined();
    const rows = await opened.db.selectFrom("idempotency").select(["key", "response_json", "session_id"]).execute();
    expect(rows.sort((a, b) => (a.key < b.key ? -1 : 1))).toEqual([
      { key: "key:agent:k", response_json: '"agent_x"', session_id: null },
      { key: "key:create:k", response_json: '"sesn_there"', session_id: "sesn_there" },
      { key: "key:send:sesn_there:k", response_json: '["sevt_1"]', session_id: "sesn_there" },
    ]);
    for (const text of [deleted, remembered, orphaned]) expect(filesWith(dir, text)).toEqual([]);
  }
  rmSync(dir, { recursive: true, force: true });
});
