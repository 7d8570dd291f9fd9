import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { answering, echo, init, lifecycle, result, text } from "./_claude-lines.ts";
import type { LocalClaude } from "./_local-claude.ts";
import { LocalSandboxes } from "./_local-sandbox.ts";
import { gatewayAdmin, LocalSession, request } from "./_local-server.ts";
import { type TestServer, testCluster, testServer } from "./_server.ts";

const quick = { beatMs: 100, deadMs: 1_500, lookMs: 50 };
/** Nobody is found dead by time in a test with these. */
const patient = { ...quick, deadMs: 60_000 };

let stack: AsyncDisposableStack;
let sandboxes: LocalSandboxes;
let databaseUrl: string;
let adminUrl: string;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  sandboxes = stack.use(await LocalSandboxes.open());
  databaseUrl = await (await testCluster()).createDatabase();
  adminUrl = await gatewayAdmin(stack);
});
afterEach(() => stack.disposeAsync());

const sql = async (statement: string) => {
  const { Client } = await import("pg");
  const client = new Client(databaseUrl);
  await client.connect();
  try {
    return (await client.query(statement)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
};

interface Started extends TestServer {
  id(): string;
}

/** One of several servers on the test's database and sandboxes. */
async function server(leaseTimings = patient, dataDir = ownDir()): Promise<Started> {
  const it = stack.use(
    await testServer(
      {
        dataDir,
        databaseUrl,
        modal: { serverUrl: "http://127.0.0.1:1", tokenId: "x", tokenSecret: "x", installationId: "local" },
        gateway: { adminUrl, adminToken: "x", tokenSecret: "s".repeat(32) },
      },
      { provider: sandboxes, guestBundle: "of the test's own", leaseTimings },
    ),
  );
  return { ...it, id: () => readFileSync(join(dataDir, "server-id"), "utf8").trim() };
}

function ownDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-leases-"));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const keys = new Map<string, string>();

/** The same session, as each server's clients see it. */
async function sessionOn(...servers: TestServer[]): Promise<LocalSession[]> {
  const [first] = servers;
  if (first === undefined) throw new Error("no server");
  const { apiKey } = await first.account(`tester ${Math.random()}`);
  const call = (it: TestServer) => (method: string, path: string, body?: unknown) =>
    request(it, apiKey, { method, path, body });
  const body = { agent: "agent_default", environment_id: "env_default" };
  const created = await call(first)("POST", "/v1/sessions", body);
  const { id } = created.body as { id: string };
  keys.set(id, apiKey);
  return servers.map((it) => new LocalSession(id, call(it)));
}

const owner = async () => (await sql("select server_id from workspaces"))[0]?.server_id;
const dense = (events: { seq: number }[]) =>
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_e, at) => at + 1));
const said = (claude: LocalClaude) => claude.heard.filter(({ type }) => type === "user").length;

/** Answers what it hears only when the test lets it. */
function holding() {
  const heard = Promise.withResolvers<LocalClaude>();
  const go = Promise.withResolvers<void>();
  sandboxes.stage.script = async (claude) => {
    for (;;) {
      const user = await claude.nextUser();
      claude.print(lifecycle(user, "started"), init(claude), echo(user));
      heard.resolve(claude);
      await go.promise;
      claude.print(text("done at last"), result([user]));
    }
  };
  return { heard: heard.promise, go: go.resolve };
}

test("what is sent to a server that has not got the session is done by the one that has", async () => {
  const [a, b] = [await server(), await server()];
  sandboxes.stage.script = answering;
  const [onA, onB] = (await sessionOn(a, b)) as [LocalSession, LocalSession];
  await onA.send("one");
  await onA.idle(1);
  expect(await owner()).toBe(a.id());
  await onB.send("two");
  dense(await onB.idle(2));
  expect(await owner()).toBe(a.id());
  expect(sandboxes.stage.started).toHaveLength(1);
  expect(sandboxes.sandboxes).toHaveLength(1);
});

test("an interrupt by way of the other server stops the turn", async () => {
  const [a, b] = [await server(), await server()];
  const { heard } = holding();
  const [onA, onB] = (await sessionOn(a, b)) as [LocalSession, LocalSession];
  await onA.send("long work");
  await heard;
  await onB.interrupt();
  await onA.idle(1);
  expect(await onA.outcomes()).toEqual(["stopped"]);
});

test("a deletion by way of the other server ends the process", async () => {
  const [a, b] = [await server(), await server()];
  sandboxes.stage.script = answering;
  const [onA, onB] = (await sessionOn(a, b)) as [LocalSession, LocalSession];
  await onA.send("one");
  await onA.idle(1);
  expect((await onB.call("DELETE", `/v1/sessions/${onB.id}`)).status).toBe(200);
  await sandboxes.stage.started[0]?.ended();
});

test("a sandbox can be used and stopped by way of the other server", async () => {
  const [a, b] = [await server(), await server()];
  sandboxes.stage.script = answering;
  const [onA, onB] = (await sessionOn(a, b)) as [LocalSession, LocalSession];
  await onA.send("one");
  await onA.idle(1);
  const list = (await onB.call("GET", "/v1/sandboxes")).body.data as { id: string; state: string }[];
  const id = list[0]?.id ?? "";
  const running = await visit(b, onB, id);
  expect(running).toContain('"exit"');
  expect(sandboxes.last.isRunning).toBe(true);
  expect((await onB.call("POST", `/v1/sandboxes/${id}/stop`, {})).body).toMatchObject({ id, state: "ended" });
  expect(sandboxes.last.isRunning).toBe(false);
  await onB.send("two");
  await onB.idle(2);
  expect(sandboxes.sandboxes).toHaveLength(2);
});

async function visit(it: TestServer, session: LocalSession, id: string): Promise<string> {
  const key = keys.get(session.id) ?? "";
  const body = JSON.stringify({ command: ["true"], user: "root" });
  const headers = { "content-type": "application/json" };
  return await (await it.fetch(`/v1/sandboxes/${id}/exec`, { key, method: "POST", headers, body })).text();
}

test("a server that is found dead although it lives stops at once; the other goes on with its turn", async () => {
  const [a, b] = [await server(), await server()];
  const { heard, go } = holding();
  const [onA, onB] = (await sessionOn(a, b)) as [LocalSession, LocalSession];
  await onA.send("long work");
  const claude = await heard;
  const before = a.id();
  // As `b` does when it has seen no heartbeat for long.
  await sql(`begin; delete from servers where id = '${before}';
    update workspaces set server_id = '${b.id()}' where server_id = '${before}'; commit`);
  // It is another's, so `b` looks for what goes on there.
  await onB.until("b's turn", () => true);
  await expect.poll(() => a.id()).not.toBe(before);
  await expect
    .poll(async () => Number((await sql("select generation from sessions"))[0]?.generation))
    .toBeGreaterThan(1);
  go();
  const events = await onB.idle(1);
  dense(events);
  expect(events.filter(({ type }) => type === "agent.message")).toHaveLength(1);
  expect(await onB.outcomes()).toEqual(["completed"]);
  expect(said(claude)).toBe(1);
  // The old one is of use again, under another name.
  const [again] = (await sessionOn(a)) as [LocalSession];
  await again.send("hello");
  await again.idle(1);
  const ids = (await sql("select id from servers")).map(({ id }) => id);
  expect(ids.toSorted()).toEqual([a.id(), b.id()].toSorted());
});

test("a server that stops leaves its turn to the other one, which goes on with it at once", async () => {
  const [a, b] = [await server(), await server()];
  const { heard, go } = holding();
  const [onA, onB] = (await sessionOn(a, b)) as [LocalSession, LocalSession];
  await onA.send("long work");
  const claude = await heard;
  await a[Symbol.asyncDispose]();
  await expect.poll(owner, { timeout: 10_000 }).toBe(b.id());
  go();
  const events = await onB.idle(1);
  dense(events);
  expect(await onB.outcomes()).toEqual(["completed"]);
  expect(said(claude)).toBe(1);
  expect(await sql("select id from servers")).toEqual([{ id: b.id() }]);
});

test("found dead in the middle of everything, a server leaves each turn to the other, whole", async () => {
  const [a, b] = [await server(), await server()];
  sandboxes.stage.script = answering;
  const gate = { create: Promise.withResolvers<void>(), start: Promise.withResolvers<void>() };
  const reached = { create: Promise.withResolvers<void>(), start: Promise.withResolvers<void>() };
  const pairs = [await sessionOn(a, b), await sessionOn(a, b), await sessionOn(a, b)];
  const [creating, starting, idle] = pairs as [LocalSession, LocalSession][];
  if (creating === undefined || starting === undefined || idle === undefined) throw new Error("no sessions");
  await idle[0].send("one");
  await idle[0].idle(1);
  let first = true;
  sandboxes.before.start = async () => {
    if (!first) return;
    first = false;
    reached.start.resolve();
    await gate.start.promise;
  };
  await starting[0].send("one");
  await reached.start.promise;
  sandboxes.before.create = async () => {
    sandboxes.before.create = async () => undefined;
    reached.create.resolve();
    await gate.create.promise;
  };
  await creating[0].send("one");
  await reached.create.promise;
  const before = a.id();
  await sql(`begin; delete from servers where id = '${before}';
    update workspaces set server_id = '${b.id()}' where server_id = '${before}'; commit`);
  await expect.poll(() => a.id(), { timeout: 10_000 }).not.toBe(before);
  gate.start.resolve();
  gate.create.resolve();
  for (const [, onB] of pairs as [LocalSession, LocalSession][]) {
    dense(await onB.idle(1, 30_000));
    expect(await onB.outcomes()).toEqual(["completed"]);
  }
  await idle[1].send("two");
  dense(await idle[1].idle(2));
  // Nothing that the old one had begun is left: one sandbox for each workspace, one process in each.
  await expect.poll(() => sandboxes.sandboxes.filter(({ isRunning }) => isRunning).length).toBe(3);
  expect(await sql("select id from sandboxes where state <> 'ended'")).toHaveLength(3);
});

test("one that does not know yet that it was found dead is refused by the guest, and raises no lease", async () => {
  // Only what it does itself tells it.
  const a = await server({ ...patient, beatMs: 600_000 });
  const b = await server();
  sandboxes.stage.script = answering;
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  let first = true;
  sandboxes.before.start = async () => {
    if (!first) return;
    first = false;
    reached.resolve();
    await gate.promise;
  };
  const [onA, onB] = (await sessionOn(a, b)) as [LocalSession, LocalSession];
  await onA.send("one");
  await reached.promise;
  const before = a.id();
  await sql(`begin; delete from servers where id = '${before}';
    update workspaces set server_id = '${b.id()}' where server_id = '${before}'; commit`);
  await onB.idle(1, 30_000);
  const generation = async () => Number((await sql("select generation from sessions"))[0]?.generation);
  const raised = await generation();
  expect(a.id()).toBe(before);
  gate.resolve();
  // It wanted to raise its lease, and learned that it has none.
  await expect.poll(() => a.id(), { timeout: 10_000 }).not.toBe(before);
  expect(await generation()).toBe(raised);
  await onB.send("two");
  const events = await onB.idle(2);
  dense(events);
  expect(events.filter(({ type }) => type === "holdfast.notice")).toEqual([]);
  expect(await generation()).toBe(raised);
});

test("a dead server's workspace has another server in time, with what was sent meanwhile", async () => {
  const b = await server(quick);
  sandboxes.stage.script = answering;
  const [onB] = (await sessionOn(b)) as [LocalSession];
  // A server that never beats.
  await sql("insert into servers values ('srv_dead', 7, 'elsewhere', 0); update workspaces set server_id = 'srv_dead'");
  const sentMs = performance.now();
  await onB.send("one");
  dense(await onB.idle(1));
  expect(performance.now() - sentMs).toBeGreaterThan(quick.deadMs);
  expect(await owner()).toBe(b.id());
  expect(await sql("select id from servers")).toEqual([{ id: b.id() }]);
});

test("a server that starts where another one ended has its workspaces at once", async () => {
  const dataDir = ownDir();
  const a = await server(patient, dataDir);
  sandboxes.stage.script = answering;
  const [onA] = (await sessionOn(a)) as [LocalSession];
  await onA.send("one");
  await onA.idle(1);
  const before = a.id();
  await a[Symbol.asyncDispose]();
  expect(await owner()).toBeNull();
  // As after a kill: nobody signed off.
  writeFileSync(join(dataDir, "server-id"), `${before}\n`);
  await sql(`insert into servers values ('${before}', 7, 'here', 0); update workspaces set server_id = '${before}'`);
  const b = await server(patient, dataDir);
  expect(existsSync(join(dataDir, "server-id"))).toBe(true);
  expect(await owner()).toBe(b.id());
  expect(await sql("select id from servers")).toEqual([{ id: b.id() }]);
});
