import { causeFault, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createSteppedKit, type Steps } from "./_steps.ts";

/** What nobody handled, in every process of ours while a turn runs: counted and told, and no turn notices. */
const names = ["s3", "gateway", "engine", "server"] as const;
let kit: TestKit;
let steps: Steps;

beforeAll(async () => {
  ({ kit, steps } = await createSteppedKit({ expectsFaults: true }));
});
afterAll(() => kit?.[Symbol.asyncDispose]());

async function counts(): Promise<Record<string, number>> {
  const health = (await (await kit.fetch("/health")).json()) as { unhandled_rejections: Record<string, number> };
  return health.unhandled_rejections;
}

/** Sends a prompt, and resolves when the session has begun to work on it. */
async function begin(tag: string, count: number): Promise<string> {
  const { id } = await kit.account.client.beta.sessions.create({
    agent: "agent_default",
    environment_id: "env_default",
  });
  await kit.account.client.beta.sessions.events.send(id, {
    events: [{ type: "user.message", content: [{ type: "text", text: steps.prompt(tag, count) }] }],
  });
  await steps.said(id, "Step 1.");
  return id;
}

test("a rejection that nobody handles: the process goes on, `/health` counts it, the turn ends well", async () => {
  expect(await counts()).toEqual({ s3: 0, gateway: 0, engine: 0, server: 0 });
  const pids = names.map((name) => kit.system.services[name].pid);
  const sessionId = await begin("rejected", 10);
  for (const name of names) await causeFault(Number(kit.system.services[name].pid), "reject", `a test's, in ${name}`);
  await expect.poll(counts).toEqual({ s3: 1, gateway: 1, engine: 1, server: 1 });
  await steps.idle(sessionId);
  await steps.checkWhole(sessionId, "rejected", { steps: 10 });
  expect(names.map((name) => kit.system.services[name].pid)).toEqual(pids);
});

test.each(names)(
  "an exception that nobody catches in %s: it ends in order, is back, and the turn ends well",
  async (name) => {
    const service = kit.system.services[name];
    const before = service.pid;
    const sessionId = await begin(`thrown-${name}`, 15);
    const sandbox = (await kit.sandbox()).sandboxId;
    await causeFault(Number(before), "throw", `a test's, in ${name}`);
    await expect.poll(() => kit.system.faults().crashes[name], { interval: 5 }).toBe(1);
    const endedMs = performance.now();
    await expect.poll(() => service.pid, { interval: 5 }).toBeDefined();
    const startedMs = Math.round(performance.now() - endedMs);
    await expect.poll(() => service.isReady, { interval: 5 }).toBe(true);
    console.info(
      `${name}: started ${startedMs} ms after its end, ready after ${Math.round(performance.now() - endedMs)} ms`,
    );
    expect(startedMs).toBeLessThan(1_000);
    await steps.idle(sessionId);
    await steps.checkWhole(sessionId, `thrown-${name}`, { steps: 15 });
    expect((await kit.sandbox()).sandboxId).toBe(sandbox);
    // What was counted before is not forgotten with the process.
    await expect.poll(counts).toEqual({ s3: 1, gateway: 1, engine: 1, server: 1 });
  },
);
