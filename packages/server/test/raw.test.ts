import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { zstdCompressSync } from "node:zlib";
import { Kysely, sql } from "kysely";
import { expect, test } from "vitest";
import { sqliteDialect } from "../src/adapters/db/dialect.ts";
import { rawTables } from "../src/adapters/db/raw-tables.ts";
import { readRaw } from "../src/domain/raw/read-raw.ts";
import type { Schema } from "../src/ports/database.ts";
import { LocalProvider, localOptions } from "./_local-provider.ts";
import { type TestServer, testServer, userMessage } from "./_server.ts";

async function newSession(it: TestServer) {
  const { client, apiKey: key } = await it.account(`tester ${Math.random()}`);
  const { id } = await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  const raw = async (query = "") =>
    Buffer.from(await (await it.fetch(`/v1/sessions/${id}/raw${query}`, { key })).bytes());
  const turn = async (text: string) => {
    await it.fetch(`/v1/sessions/${id}/events`, { key, method: "POST", body: JSON.stringify(userMessage(text)) });
    const status = async () => (await client.beta.sessions.retrieve(id)).status;
    await expect.poll(status, { timeout: 20_000, interval: 20 }).toBe("idle");
  };
  return { id, key, client, raw, turn };
}

test("the raw record is whole over several processes, clipped unless asked, and goes with the session", async () => {
  await using provider = new LocalProvider();
  await using it = await testServer(localOptions, { provider });
  const session = await newSession(it);
  expect((await session.raw()).length).toBe(0);
  // Made of the session's own words, as the CLI's lines are: large, odd, not JSON, not UTF-8, and live text between.
  const file = join(provider.folder, "lines");
  const big = JSON.stringify({ type: "user", tool_use_result: { originalFile: "é".repeat(600_000) }, uuid: "u" });
  const odd = Buffer.concat([Buffer.from(`${big}\n\nplain \u001b[1mtext\n`), Buffer.from([0xff, 0xfe, 0x0a])]);
  const drafts = `${JSON.stringify({ type: "stream_event", event: { type: "ping" } })}\n`;
  writeFileSync(file, Buffer.concat([odd, Buffer.from(drafts), odd]));
  await session.turn(`raw ${file}`);
  await session.turn("exit 3");
  await session.turn("hello");
  const full = await session.raw("?full=1");
  expect(full.includes(Buffer.concat([odd, odd]))).toBe(true);
  expect(full.includes("stream_event")).toBe(false);
  const clipped = String(await session.raw());
  const lines = clipped
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(clipped.length).toBeLessThan(20_000);
  expect(clipped).toContain("[clipped by Holdfast: 1200000 bytes, sha256 ");
  const count = (type: string) => lines.filter((line) => line.type === type).length;
  expect([count("holdfast.not_json"), count("system"), count("result")]).toEqual([6, 3, 2]);
  expect(String(full).split("\n")).toHaveLength(lines.length + 1);

  const rows = (table: string) => {
    const db = new DatabaseSync(join(it.dataDir, "server.sqlite"), { readOnly: true });
    const row = db.prepare(`select count(*) as count from ${table} where session_id = ?`).get(session.id);
    db.close();
    return row?.count;
  };
  // Twice the same line, once a blob.
  expect(rows("blobs")).toBe(1);
  const stranger = await newSession(it);
  const path = `/v1/sessions/${session.id}/raw`;
  expect((await it.fetch(path, { key: stranger.key })).status).toBe(404);
  await session.client.beta.sessions.delete(session.id);
  expect((await it.fetch(path, { key: session.key })).status).toBe(404);
  expect([rows("blobs"), rows("raw_batches")]).toEqual([0, 0]);
});

test("a reader that leaves, or does not read, makes the server hold nothing", async () => {
  await using provider = new LocalProvider();
  await using it = await testServer(localOptions, { provider });
  const session = await newSession(it);
  await session.turn("flood 200 200000");
  const before = process.memoryUsage().rss;
  const readers = await Promise.all(
    Array.from({ length: 8 }, () => it.fetch(`/v1/sessions/${session.id}/raw?full=1`, { key: session.key })),
  );
  // All of it would be 320 MB.
  await expect.poll(async () => (await it.fetch("/version")).status).toBe(200);
  expect(process.memoryUsage().rss - before).toBeLessThan(150e6);
  for (const { body } of readers) await body?.cancel();
  expect((await session.raw("?full=1")).length).toBeGreaterThan(40e6);
});

test("lines that were stored one by one, before there were batches, still read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-raw-"));
  const db = new Kysely<Schema>({ dialect: sqliteDialect(join(folder, "old.sqlite")) });
  try {
    const before = [
      "create table raw_lines (session_id text, process_id text, offset bigint, bytes blob, primary key (process_id, offset))",
      "create table processes (id text, session_id text, created_at bigint)",
      "insert into processes values ('prc_1', 'sesn_1', 1)",
    ];
    for (const statement of before) await sql.raw(statement).execute(db);
    for (const [offset, line] of [
      [0, '{"n":1}'],
      [8, ""],
      [9, '{"n":2}'],
    ] as const)
      await sql`insert into raw_lines values ('sesn_1', 'prc_1', ${offset}, ${zstdCompressSync(line)})`.execute(db);
    await rawTables(db as unknown as Kysely<unknown>, "blob");
    const { signal } = new AbortController();
    const parts = await Array.fromAsync(readRaw(db, { sessionId: "sesn_1", full: true, signal }));
    expect(String(Buffer.concat(parts))).toBe('{"n":1}\n\n{"n":2}\n');
  } finally {
    await db.destroy();
    rmSync(folder, { recursive: true, force: true });
  }
});
