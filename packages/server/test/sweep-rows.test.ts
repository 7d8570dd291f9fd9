import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@holdfast/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDatabase } from "../src/adapters/db/database.ts";
import type { Database, SandboxState } from "../src/ports/database.ts";
import { FakeProvider } from "./_provider.ts";
import { loginToken, testServer } from "./_server.ts";

let dataDir: string;
let provider: FakeProvider;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "holdfast-rows-"));
  provider = new FakeProvider();
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const modal = { serverUrl: "http://127.0.0.1:1", tokenId: "x", tokenSecret: "x", installationId: "mine" };
const start = () => testServer({ dataDir, modal, sweepEveryMs: 50 }, { provider });

/** A session with its workspace, and the database beside the running server. */
async function setUp(it: Awaited<ReturnType<typeof start>>) {
  const { id: accountId, apiKey: key, client } = await it.account(`owner ${Math.random()}`.slice(0, 20));
  const session = await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  const database = await openDatabase(join(dataDir, "server.sqlite"));
  const { db } = database;
  const { workspace_id: workspaceId } = await db
    .selectFrom("sessions")
    .select("workspace_id")
    .where("id", "=", session.id)
    .executeTakeFirstOrThrow();
  const tags = { "holdfast.installation": "mine", "holdfast.account": accountId, "holdfast.workspace": workspaceId };
  const state = async (id: string) =>
    (await db.selectFrom("sandboxes").selectAll().where("id", "=", id).executeTakeFirst())?.state;
  const row = (providerId: string | null, rowState: SandboxState) =>
    insertRow(db, { workspaceId, accountId, providerId, state: rowState });
  return { key, client, session, db, tags, state, row, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() };
}

async function insertRow(
  db: Database,
  row: { workspaceId: string; accountId: string; providerId: string | null; state: SandboxState },
): Promise<string> {
  const id = newId("sandbox");
  const now = Date.now();
  await db
    .insertInto("sandboxes")
    .values({
      id,
      workspace_id: row.workspaceId,
      account_id: row.accountId,
      state: row.state,
      provider_id: row.providerId,
      tags_json: "{}",
      created_at: now,
      updated_at: now,
    })
    .execute();
  return id;
}

async function insertProcess(db: Database, sessionId: string, sandboxId: string): Promise<string> {
  const id = newId("process");
  const process = { session_id: sessionId, sandbox_id: sandboxId, generation: 1, stdout_offset: 0, stderr_offset: 0 };
  await db
    .insertInto("processes")
    .values({ id, ...process, state: "running", exit_code: null, created_at: Date.now() })
    .execute();
  return id;
}

test("of two sandboxes of a workspace the one is kept in which a process is noted", async () => {
  let kept = "";
  {
    await using it = await start();
    await using parts = await setUp(it);
    const named = provider.add(parts.tags);
    await expect.poll(async () => (await listed(it, parts.key)).length).toBe(1);
    await insertProcess(parts.db, parts.session.id, named.id);
    kept = named.id;
  }
  // Newer ones, one of them with a row of its own.
  const [first] = provider.sandboxes;
  const second = provider.add({ ...first?.tags });
  const third = provider.add({ ...first?.tags });
  await using it = await start();
  await expect.poll(() => [second.running, third.running]).toEqual([false, false]);
  expect(provider.sandboxes.filter(({ running }) => running).map(({ id }) => id)).toEqual([kept]);
  expect(it.url).not.toBe("");
});

test("a second one that comes up beside the held one is ended", async () => {
  await using it = await start();
  await using parts = await setUp(it);
  const first = provider.add(parts.tags);
  await expect.poll(async () => (await listed(it, parts.key)).length).toBe(1);
  const second = provider.add(parts.tags);
  await expect.poll(() => second.running).toBe(false);
  expect(first.running).toBe(true);
});

test("one whose row says that it has ended is ended, never used again", async () => {
  await using it = await start();
  await using parts = await setUp(it);
  const id = await parts.row(null, "ended");
  const late = provider.add({ ...parts.tags, "holdfast.sandbox": id });
  await expect.poll(() => late.running).toBe(false);
});

test("one past its deadline, and one of a deleted workspace, are ended", async () => {
  await using it = await start();
  await using parts = await setUp(it);
  const old = provider.add({ ...parts.tags, "holdfast.deadline": String(Math.floor(Date.now() / 1000) - 3600) });
  await expect.poll(() => old.running).toBe(false);
  await parts.db.updateTable("workspaces").set({ deleted_at: 1, purged_at: 1 }).execute();
  const orphan = provider.add(parts.tags);
  await expect.poll(() => orphan.running).toBe(false);
});

test("an intent without a sandbox is settled; one whose sandbox is found by its tags gets it", async () => {
  await using it = await start();
  await using parts = await setUp(it);
  const nothing = await parts.row(null, "creating");
  await expect.poll(() => parts.state(nothing)).toBe("ended");
  provider.away = true;
  const unheard = await parts.row(null, "creating");
  const made = provider.add({ ...parts.tags, "holdfast.sandbox": unheard });
  provider.away = false;
  const found = async () =>
    await parts.db.selectFrom("sandboxes").select("provider_id").where("id", "=", unheard).executeTakeFirst();
  await expect.poll(found).toEqual({ provider_id: made.id });
  expect(await parts.state(unheard)).toBe("running");
  expect(made.running).toBe(true);
});

test("no row is settled because the provider is away, or lists nothing", async () => {
  provider.away = true;
  let id = "";
  const sandbox = provider.add({});
  {
    await using it = await start();
    await using parts = await setUp(it);
    sandbox.tags = parts.tags;
    id = await parts.row(sandbox.id, "running");
    await expect.poll(async () => (await lastSweep(it))?.failures.length).toBeGreaterThan(0);
    expect(await parts.state(id)).toBe("running");
    provider.listsNothing = true;
    provider.away = false;
    await expect.poll(async () => await lastSweep(it)).toMatchObject({ failures: [], settled: [] });
    expect(await parts.state(id)).toBe("running");
    sandbox.end();
    await expect.poll(() => parts.state(id)).toBe("ended");
  }
});

async function listed(it: Awaited<ReturnType<typeof start>>, key: string): Promise<unknown[]> {
  return ((await (await it.fetch("/v1/sandboxes", { key })).json()) as { data: unknown[] }).data;
}

async function lastSweep(it: Awaited<ReturnType<typeof start>>) {
  const login = await it.fetch(`/login?token=${loginToken()}`);
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const answer = await it.fetch("/v1/sweep", { headers: { cookie } });
  return (
    (await answer.json()) as { last: { at: string; running: number; failures: string[]; settled: string[] } | null }
  ).last;
}

test("a running turn whose sandbox is gone ends as interrupted, and its process with it", async () => {
  await using it = await start();
  await using parts = await setUp(it);
  await expect.poll(async () => await lastSweep(it)).not.toBeNull();
  const gone = provider.add(parts.tags);
  gone.end();
  await parts.db.updateTable("sessions").set({ status: "running" }).where("id", "=", parts.session.id).execute();
  const processId = await insertProcess(parts.db, parts.session.id, gone.id);
  const id = await parts.row(gone.id, "running");
  await expect.poll(() => parts.state(id)).toBe("ended");
  await expect.poll(async () => (await parts.client.beta.sessions.retrieve(parts.session.id)).status).toBe("idle");
  const process = await parts.db.selectFrom("processes").selectAll().where("id", "=", processId).executeTakeFirst();
  expect(process?.state).toBe("ended");
  const types: string[] = [];
  for await (const event of parts.client.beta.sessions.events.list(parts.session.id)) types.push(JSON.stringify(event));
  expect(types.join("\n")).toContain('"outcome":"interrupted"');
});

test("a workspace that another living server works on is that server's to sweep", async () => {
  await using it = await start();
  await using parts = await setUp(it);
  // It beats once: for the first seconds it counts as alive.
  const now = Date.now();
  await parts.db
    .insertInto("servers")
    .values({ id: "srv_other", host: "elsewhere", started_at: now, beats: 1 })
    .execute();
  const workspaceId = parts.tags["holdfast.workspace"];
  await parts.db.updateTable("workspaces").set({ server_id: "srv_other" }).where("id", "=", workspaceId).execute();
  const row = await parts.row("sb-never-was", "running");
  const [one, two] = [provider.add(parts.tags), provider.add(parts.tags)];
  const old = provider.add({ ...parts.tags, "holdfast.deadline": "1" });
  const seen = new Set<string>();
  await expect
    .poll(async () => {
      const last = await lastSweep(it);
      if (last !== null && last.running === 3) seen.add(last.at);
      return seen.size;
    })
    .toBeGreaterThan(3);
  expect([one.running, two.running, old.running]).toEqual([true, true, true]);
  expect(await parts.state(row)).toBe("running");
});

test("what is long over is forgotten by the sweep of a server that starts", async () => {
  let gone = "";
  let kept = "";
  const long = Date.now() - 31 * 24 * 60 * 60 * 1000;
  {
    await using it = await start();
    await using parts = await setUp(it);
    [gone, kept] = [await parts.row("sb-1", "ended"), await parts.row("sb-2", "ended")];
    await parts.db
      .updateTable("sandboxes")
      .set({ created_at: long, updated_at: long })
      .where("id", "=", gone)
      .execute();
  }
  await using it = await start();
  await using parts = await setUp(it);
  await expect.poll(() => parts.state(gone)).toBeUndefined();
  expect(await parts.state(kept)).toBe("ended");
});
