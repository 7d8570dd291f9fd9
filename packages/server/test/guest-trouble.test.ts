import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { LocalProvider, localOptions } from "./_local-provider.ts";
import { type TestServer, testServer, userMessage } from "./_server.ts";

type Event = Record<string, unknown> & { type: string };

async function newSession(it: TestServer) {
  const { client, apiKey: key } = await it.account(`tester ${Math.random()}`);
  const { id } = await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  const send = (text: string) =>
    it.fetch(`/v1/sessions/${id}/events`, { key, method: "POST", body: JSON.stringify(userMessage(text)) });
  const log = async () => {
    const all: Event[] = [];
    for await (const event of client.beta.sessions.events.list(id, { order: "asc", limit: 1000 }))
      all.push(event as unknown as Event);
    return all;
  };
  const of = async (type: string) => (await log()).filter((event) => event.type === type);
  const turns = (count: number) =>
    expect.poll(async () => (await of("session.status_idle")).length, { timeout: 30_000, interval: 20 }).toBe(count);
  return { id, key, client, send, log, of, turns };
}

/** Programs of the stand-in for Claude that run in this folder. */
function claudes(provider: LocalProvider): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const isClaude = readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("_fake-claude");
      return isClaude && readFileSync(`/proc/${pid}/environ`, "latin1").includes("HOLDFAST_PROCESS=") && inFolder(pid);
    } catch {
      // Gone meanwhile.
      return false;
    }
  });
  function inFolder(pid: string): boolean {
    const link = spawnSync("readlink", [`/proc/${pid}/cwd`], { encoding: "utf8" });
    return link.stdout.trim() === provider.folder;
  }
}

/** A zombie is dead: who its reaper is, is not ours to say. */
function isAlive(pid: string | undefined): boolean {
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, "latin1") : ") Z";
  return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
}

const spools = (provider: LocalProvider) => readdirSync(join(provider.runDir("sb-1"), "spool"));

test("the guest is killed: it is brought back, the turn says so, nothing runs on, the next message works", async () => {
  await using provider = new LocalProvider();
  await using it = await testServer(localOptions, { provider });
  const session = await newSession(it);
  await session.send("sleep");
  await expect.poll(async () => (await session.of("agent.message")).length).toBe(1);
  const [claude] = claudes(provider);
  const killed = performance.now();
  process.kill(provider.daemonPid() ?? 0, "SIGKILL");
  await session.turns(1);
  expect(performance.now() - killed).toBeLessThan(15_000);
  expect(isAlive(claude)).toBe(false);
  const [error] = (await session.of("session.error")) as unknown as [
    { error: { message: string }; holdfast: { code: string } },
  ];
  expect(error.holdfast.code).toBe("turn_interrupted");
  expect(error.error.message).toMatch(/program that holds Claude Code in its sandbox died/);
  expect((await session.of("session.status_idle")).at(-1)).toMatchObject({ holdfast: { outcome: "interrupted" } });
  await session.send("hello");
  await session.turns(2);
  expect((await session.of("session.status_idle")).at(-1)).toMatchObject({ holdfast: { outcome: "completed" } });
  expect(claudes(provider)).toHaveLength(1);
  // The spool of the lost one is gone, too.
  await expect.poll(() => spools(provider)).toHaveLength(1);
});

test("the spool's disk is full: an event of its own, once, and a way out", async () => {
  await using provider = new LocalProvider();
  const runDir = provider.runDir("sb-1");
  mkdirSync(runDir, { recursive: true });
  spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m,mode=700", "none", runDir]);
  try {
    await using it = await testServer(localOptions, { provider });
    const session = await newSession(it);
    await session.send("flood 60 60000");
    await session.turns(1);
    const errors = await session.of("session.error");
    expect(errors.map(({ holdfast }) => (holdfast as { code: string }).code)).toEqual([
      "spool_full",
      "turn_interrupted",
    ]);
    expect(JSON.stringify(errors[0])).toMatch(/Free space/);
    expect((await session.of("agent.message")).length).toBeGreaterThan(5);
    await expect.poll(() => spools(provider)).toEqual([]);
    await session.send("hello");
    await session.turns(2);
  } finally {
    const pid = provider.daemonPid();
    if (pid !== undefined) process.kill(pid, "SIGTERM");
    while (provider.daemonPid() !== undefined) await new Promise((resolve) => setTimeout(resolve, 10));
    spawnSync("umount", ["-l", runDir]);
  }
});

/** Changes the database while no server runs. */
function edit(dataDir: string, sql: string, ...values: (string | number)[]): void {
  const db = new DatabaseSync(join(dataDir, "server.sqlite"));
  db.prepare(sql).run(...values);
  db.close();
}

test.each([
  ["below what the guest has dropped", 0],
  ["above what the guest has", 10_000_000_000],
])("an offset %s is said, and the session goes on", async (_name, offset) => {
  await using provider = new LocalProvider();
  const dataDir = join(provider.folder, "data");
  let first: TestServer | undefined = await testServer({ ...localOptions, dataDir }, { provider });
  try {
    const session = await newSession(first);
    // Over a segment of 8 MB, so that the guest has dropped some; then it waits.
    await session.send("flood 1200 10000");
    await session.turns(1);
    await session.send("sleep");
    await expect.poll(async () => (await session.of("agent.message")).length).toBe(1201);
    await first[Symbol.asyncDispose]();
    first = undefined;
    edit(dataDir, "update processes set stdout_offset = ? where session_id = ?", offset, session.id);
    await using second = await testServer({ ...localOptions, dataDir }, { provider });
    const get = async (type: string) => {
      const path = `/v1/sessions/${session.id}/events?limit=1000&types=${type}`;
      return ((await (await second.fetch(path, { key: session.key })).json()) as { data: Event[] }).data;
    };
    await expect
      .poll(() => get("holdfast.notice"), { timeout: 20_000 })
      .toMatchObject([
        { kind: "output_missing", level: "error", text: expect.stringMatching(/^\d+ bytes of Claude Code's output/) },
      ]);
    const post = (event: object) =>
      second.fetch(`/v1/sessions/${session.id}/events`, {
        key: session.key,
        method: "POST",
        body: JSON.stringify({ events: [event] }),
      });
    await post({ type: "user.interrupt" });
    await expect.poll(async () => (await get("session.status_idle")).length, { timeout: 20_000 }).toBe(2);
    await post({ type: "user.message", content: [{ type: "text", text: "hello" }] });
    await expect.poll(async () => (await get("session.status_idle")).length, { timeout: 20_000 }).toBe(3);
    expect(await get("holdfast.notice")).toHaveLength(1);
  } finally {
    await first?.[Symbol.asyncDispose]();
  }
});

test("spools whose end is committed go, also when the server that committed it could not say so", async () => {
  await using provider = new LocalProvider();
  const dataDir = join(provider.folder, "data");
  const first = await testServer({ ...localOptions, dataDir }, { provider });
  const session = await newSession(first);
  await session.send("hello");
  await session.turns(1);
  await first[Symbol.asyncDispose]();
  // As if its end had been committed, while Claude lives: nobody would ever speak to it again.
  edit(dataDir, "update processes set state = 'ended' where session_id = ?", session.id);
  const [orphan] = claudes(provider);
  expect(orphan).toBeDefined();
  await using second = await testServer({ ...localOptions, dataDir }, { provider });
  const other = await second.fetch(`/v1/sessions/${session.id}/events`, {
    key: session.key,
    method: "POST",
    body: JSON.stringify(userMessage("again")),
  });
  expect(other.status).toBe(200);
  await expect.poll(() => isAlive(orphan), { timeout: 20_000 }).toBe(false);
  const idle = async () => {
    const path = `/v1/sessions/${session.id}/events?limit=1000&types=session.status_idle`;
    return ((await (await second.fetch(path, { key: session.key })).json()) as { data: Event[] }).data;
  };
  await expect.poll(idle, { timeout: 20_000 }).toMatchObject([{}, { holdfast: { outcome: "completed" } }]);
  expect(claudes(provider)).toHaveLength(1);
});
