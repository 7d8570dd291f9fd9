import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import Anthropic from "@anthropic-ai/sdk";
import { openAccounts } from "@holdfast/server";
import { expect, test } from "vitest";
import { LocalProvider } from "./_local-provider.ts";

class KilledServer implements AsyncDisposable {
  readonly dataDir = mkdtempSync(join(tmpdir(), "holdfast-killed-"));
  readonly provider = new LocalProvider();
  #child: ChildProcess | undefined;
  url = "";

  async start(): Promise<void> {
    const script = join(import.meta.dirname, "_killable-server.ts");
    const child = spawn(process.execPath, [script, this.dataDir, this.provider.folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    for await (const line of createInterface({ input: child.stdout })) {
      this.url = line;
      break;
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.provider[Symbol.asyncDispose]();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

test("a server killed again and again in the middle of a flood loses no line and doubles none", {
  timeout: 240_000,
}, async () => {
  await using it = new KilledServer();
  await it.start();
  const { apiKey } = await addAccount(it.dataDir);
  const client = () => new Anthropic({ baseURL: it.url, apiKey, maxRetries: 0 });
  const { id } = await client().beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  const count = 40_000;
  const content = [{ type: "text" as const, text: `flood ${count} 100` }];
  await client().beta.sessions.events.send(id, { events: [{ type: "user.message", content }] });
  const status = async () => (await client().beta.sessions.retrieve(id)).status;
  const newest = async () => {
    const { data } = await client().beta.sessions.events.list(id, { order: "desc", limit: 1 });
    return (data[0] as unknown as { seq: number }).seq;
  };
  for (let round = 0; round < 5; round++) {
    // Some way on from where the one before was killed.
    const far = (await newest()) + 200 + Math.random() * 5_000;
    await expect.poll(newest, { timeout: 30_000, interval: 1 }).toBeGreaterThan(far);
    await it.kill();
    await it.start();
  }
  await expect.poll(status, { timeout: 60_000, interval: 100 }).toBe("idle");
  const log: { seq: number; type: string; content?: { text: string }[] }[] = [];
  for await (const event of client().beta.sessions.events.list(id, { order: "asc", limit: 1000 }))
    log.push(event as unknown as (typeof log)[number]);
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_, index) => index + 1));
  const said = log
    .filter(({ type }) => type === "agent.message")
    .map((event) => event.content?.[0]?.text.split(" ")[1]);
  expect(said).toEqual(Array.from({ length: count }, (_, n) => String(n + 1)));
  expect(log.filter(({ type }) => type === "session.status_idle")).toHaveLength(1);
  expect(log.filter(({ type }) => type === "session.error")).toEqual([]);
});

test("a step that a killed server had begun is ended by the next one", { timeout: 60_000 }, async () => {
  await using it = new KilledServer();
  await it.start();
  const { apiKey } = await addAccount(it.dataDir);
  const client = () => new Anthropic({ baseURL: it.url, apiKey, maxRetries: 0 });
  const { id } = await client().beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  const send = async () => {
    const content = [{ type: "text" as const, text: "flood 3 10" }];
    await client().beta.sessions.events.send(id, { events: [{ type: "user.message", content }] });
    const status = async () => (await client().beta.sessions.retrieve(id)).status;
    await expect.poll(status, { timeout: 30_000, interval: 50 }).toBe("idle");
  };
  await send();
  await it.kill();
  const step = { type: "holdfast.step", step_id: "sevt_step", step: "sandbox", title: "Starting", state: "running" };
  const database = new DatabaseSync(join(it.dataDir, "server.sqlite"));
  database.prepare("update sessions set last_seq = last_seq + 1 where id = ?").run(id);
  database
    .prepare(
      "insert into events (id, session_id, seq, type, event_json, created_at) select 'sevt_open', id, last_seq, 'holdfast.step', json(?) , 0 from sessions where id = ?",
    )
    .run(JSON.stringify({ ...step, id: "sevt_open", seq: 0, processed_at: new Date().toISOString() }), id);
  database.close();
  await it.start();
  await send();
  const log: unknown[] = [];
  for await (const event of client().beta.sessions.events.list(id, { order: "asc", limit: 1000 })) log.push(event);
  expect(log).toContainEqual(expect.objectContaining({ ...step, state: "failed" }));
});

async function addAccount(dataDir: string): Promise<{ apiKey: string }> {
  await using accounts = await openAccounts({ dataDir });
  return await accounts.add("tester");
}
