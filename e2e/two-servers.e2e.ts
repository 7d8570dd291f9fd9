import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Anthropic from "@anthropic-ai/sdk";
import type { SessionEvent } from "@holdfast/protocol";
import { createS3Client } from "@holdfast/s3";
import { createTestKit, eventsOf, startPostgres, type TestKit, type TestPostgres } from "@holdfast/testkit";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SecondServer } from "./_second-server.ts";

/** From a server's last heartbeat until another one goes on with its turns. */
const takeoverMs = 20_000;

let postgres: TestPostgres;
/** Its own server is the one that stays. */
let kit: TestKit;
let serverOptions: Record<string, unknown>;
let dataDir: string;
beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "holdfast-two-"));
  chmodSync(dataDir, 0o711);
  postgres = await startPostgres();
  const databaseUrl = await postgres.createDatabase();
  kit = await createTestKit({
    dataDir,
    databaseUrl,
    adjust: (name, options) => {
      if (name === "server") serverOptions = options;
      return options;
    },
  });
});
afterAll(async () => {
  await kit?.[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
  rmSync(dataDir, { recursive: true, force: true });
});

let made = 0;
const second = (changed: Record<string, unknown> = {}) =>
  SecondServer.start({ ...serverOptions, ...changed }, join(dataDir, `second-${++made}`));

async function startSession(client: Anthropic, workspace: string): Promise<string> {
  const metadata = { "holdfast.workspace": workspace };
  return (await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default", metadata })).id;
}

const say = async (client: Anthropic, sessionId: string, words: string) => {
  await client.beta.sessions.events.send(sessionId, {
    events: [{ type: "user.message", content: [{ type: "text", text: words }] }],
  });
};

const ends = (events: SessionEvent[]) => eventsOf(events, "session.status_idle");
const outcomes = (events: SessionEvent[]) => ends(events).map((event) => event.holdfast?.outcome);
const stepsOf = (events: SessionEvent[], step: string, state: string) =>
  eventsOf(events, "holdfast.step").filter((event) => event.step === step && event.state === state);

/** By way of the server that stays. */
async function until(
  sessionId: string,
  what: string,
  matches: (events: SessionEvent[]) => boolean,
  timeoutMs = 60_000,
) {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const events = await kit.log(sessionId);
    if (matches(events)) return events;
    if (performance.now() > end) throw new Error(`waited for ${what}: ${events.map(({ type }) => type).join(" ")}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function expectWhole(events: SessionEvent[]): void {
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_event, at) => at + 1));
  const uses = eventsOf(events, "agent.tool_use").map(({ id }) => id);
  expect(new Set(uses).size).toBe(uses.length);
  // Tools that ran side by side may have answered in another order.
  const answered = eventsOf(events, "agent.tool_result").map((event) => event.tool_use_id);
  expect(answered.toSorted()).toEqual(uses.toSorted());
}

/** Ids of every line that the guests wrote to a Claude's stdin, of all sandboxes. */
async function stdinLines(): Promise<string[]> {
  const lines: string[] = [];
  for await (const sandbox of kit.modal().sandboxes.list({ tags: { "holdfast.account": kit.account.id } })) {
    const process = await sandbox.exec(["sh", "-c", "cat /run/holdfast/spool/*/stdin-lines"], { mode: "text" });
    lines.push(...(await process.stdout.readText()).split("\n").filter(Boolean));
    sandbox.detach();
  }
  return lines.toSorted();
}

async function bucketKeys(): Promise<string[]> {
  const { endpoint, region, accessKeyId, secretAccessKey, buckets } = serverOptions.s3 as {
    [name: string]: string;
  } & { buckets: Record<string, string> };
  const credentials = { accessKeyId: accessKeyId ?? "", secretAccessKey: secretAccessKey ?? "" };
  using s3 = createS3Client({ endpoint: endpoint ?? "", region: region ?? "", credentials });
  const keys: string[] = [];
  const prefix = `docs/${kit.account.id}/`;
  for await (const { objects } of s3.list({ bucket: buckets["agent-docs"] ?? "", prefix })) {
    keys.push(...objects.map(({ key }) => key));
  }
  return keys.toSorted();
}

/** The first column of each row. */
async function rows(sql: string): Promise<string[]> {
  const client = new Client(String(serverOptions.databaseUrl));
  await client.connect();
  try {
    const { rows: found } = await client.query({ text: sql, rowMode: "array" });
    return found.map(([first]) => String(first));
  } finally {
    await client.end();
  }
}

test("a killed server's turn is finished by the other one, within 20 s, and nothing is lost or doubled", async () => {
  await using victim = await second();
  const there = kit.account.client.withOptions({ baseURL: victim.url });
  const sessionId = await startSession(there, "killed");
  await say(there, sessionId, "Create a file a.txt that says a, then run sleep 3, then run cat a.txt");
  await until(sessionId, "the sleep", (events) => eventsOf(events, "agent.tool_use").length >= 2);
  // By way of the one that has not got the session: it waits for its turn.
  await say(kit.account.client, sessionId, "Run cat a.txt");
  victim.signal("SIGKILL");
  const killedMs = performance.now();
  const events = await until(sessionId, "both turns", (all) => ends(all).length >= 2);
  const tookMs = Math.round(performance.now() - killedMs);
  console.log(`kill -9 to the end of both turns: ${tookMs} ms`);
  expectWhole(events);
  expect(outcomes(events)).toEqual(["completed", "completed"]);
  expect(eventsOf(events, "user.message")).toHaveLength(2);
  expect(JSON.stringify(eventsOf(events, "agent.tool_result").at(-1))).toContain("a");
  expect(tookMs).toBeLessThan(takeoverMs + 5_000);
});

test("a paused server can write nothing any more: not to the log, not to stdin, not to S3", async () => {
  // When it wakes up, it is time to end the idle process.
  await using paused = await second({ sandbox: { idleProcessMs: 8_000 } });
  const there = kit.account.client.withOptions({ baseURL: paused.url });
  const [working, saving] = [await startSession(there, "working"), await startSession(there, "saving")];
  await say(there, working, "Run sleep 6, then create a file b.txt that says b, then run sleep 6");
  await say(there, saving, "Create a file c.txt that says c");
  await until(saving, "its save", (events) => stepsOf(events, "sync", "running").length > 0);
  await until(working, "the sleep", (events) => eventsOf(events, "agent.tool_use").length >= 1);
  const stays = readFileSync(join(dataDir, "server", "server-id"), "utf8").trim();
  const owners = `select distinct server_id from workspaces join sessions on workspaces.id = workspace_id
    where sessions.id in ('${working}', '${saving}')`;
  expect(await rows(owners)).not.toContain(stays);
  paused.signal("SIGSTOP");
  const pausedMs = performance.now();
  const saved = await until(saving, "the save", (events) => stepsOf(events, "sync", "done").length > 0);
  console.log(`SIGSTOP to the workspace's save by the other: ${Math.round(performance.now() - pausedMs)} ms`);
  const worked = await until(working, "the turn", (events) => ends(events).length > 0);
  await until(working, "its save", (events) => stepsOf(events, "sync", "done").length > 0);
  console.log(`SIGSTOP to the end of the turn: ${Math.round(performance.now() - pausedMs)} ms`);
  expectWhole(worked);
  expect(outcomes(worked)).toEqual(["completed"]);
  expectWhole(saved);
  const processesOf = `select state from processes where session_id in ('${working}', '${saving}')`;
  const before = {
    logs: [await kit.log(working), await kit.log(saving)],
    stdin: await stdinLines(),
    keys: await bucketKeys(),
    servers: await rows("select id from servers order by id"),
    processes: await rows(processesOf),
  };
  expect(await rows(owners)).toEqual([stays]);
  expect(before.processes).toEqual(["running", "running"]);
  paused.signal("SIGCONT");
  // It has found out, and is of use again: a session that it gets is its own.
  const [fresh] = await Promise.all([
    startSession(there, "fresh"),
    expect.poll(() => rows("select id from servers order by id"), { timeout: 15_000 }).toHaveLength(2),
  ]);
  expect(before.servers).toHaveLength(1);
  await say(there, fresh, "Run echo fresh");
  const own = await until(fresh, "a turn of its own", (events) => stepsOf(events, "sync", "done").length > 0);
  expect(outcomes(own)).toEqual(["completed"]);
  expect([await kit.log(working), await kit.log(saving)]).toEqual(before.logs);
  const keys = (await bucketKeys()).filter((key) => !isOf(own, key));
  expect(keys).toEqual(before.keys);
  const lines = await stdinLines();
  expect(lines.filter((line) => before.stdin.includes(line))).toEqual(before.stdin);
  expect(await rows("select state from syncs where state in ('running', 'committing')")).toEqual([]);
  expect(await rows(processesOf)).toEqual(before.processes);
  // Each manifest belongs to a save that is done.
  const done = await rows("select timestamp from syncs where state in ('done', 'warning') order by timestamp");
  const manifests = (await bucketKeys()).filter((key) => key.endsWith("/.manifest"));
  expect(manifests.map((key) => key.split("/")[2])).toEqual(done);
});

/** Whether the object belongs to the save that this log tells of. */
function isOf(events: SessionEvent[], key: string): boolean {
  const detail = stepsOf(events, "sync", "done")[0]?.detail ?? "";
  return detail.includes(`/${key.split("/").slice(0, 3).join("/")}/`);
}

test("an interrupt by way of the server that has not got the session stops its turn within 2 s", async () => {
  await using owner = await second();
  const there = kit.account.client.withOptions({ baseURL: owner.url });
  const sessionId = await startSession(there, "interrupted");
  await say(there, sessionId, "Run sleep 60");
  await until(sessionId, "the sleep", (events) => eventsOf(events, "agent.tool_use").length >= 1);
  const pressedMs = performance.now();
  await kit.account.client.beta.sessions.events.send(sessionId, { events: [{ type: "user.interrupt" }] });
  const events = await until(sessionId, "the end", (all) => ends(all).length > 0);
  console.log(`an interrupt by way of the other: ${Math.round(performance.now() - pressedMs)} ms`);
  expect(outcomes(events)).toEqual(["stopped"]);
  expectWhole(events);
});
