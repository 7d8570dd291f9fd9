import { setTimeout as delay } from "node:timers/promises";
import { eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createSteppedKit, type Steps } from "./_steps.ts";

let kit: TestKit;
let steps: Steps;

beforeAll(async () => {
  ({ kit, steps } = await createSteppedKit());
});
afterAll(() => kit?.[Symbol.asyncDispose]());

test("an engine that is away for half a minute: the turn goes on meanwhile, nothing is settled, and all of it is there soon after", async () => {
  const { engine } = kit.system.services;
  const { sessionId } = await kit.turn("run `true`");
  const sandbox = (await kit.sandbox()).sandboxId;
  const running = kit.turn(steps.prompt("away", 40), { sessionId, timeoutMs: 150_000 });
  await steps.said(sessionId, "Step 2.");
  await engine.stop("SIGTERM", 10_000);
  await delay(30_000);
  await engine.start();
  const backMs = performance.now();
  const before = (await kit.log(sessionId)).length;
  await expect.poll(async () => (await kit.log(sessionId)).length, { timeout: 60_000 }).toBeGreaterThan(before);
  const recoveredMs = Math.round(performance.now() - backMs);
  const { events } = await running;
  await steps.checkWhole(sessionId, "away", { steps: 40, events });
  expect((await kit.sandbox()).sandboxId).toBe(sandbox);
  console.info(`after half a minute without an engine: first event ${recoveredMs} ms after its start`);
  expect(recoveredMs).toBeLessThan(10_000);
}, 240_000);

test("an engine that is killed three times in a turn: nothing is lost or doubled", async () => {
  const { sessionId } = await kit.turn("run `true`");
  const running = kit.turn(steps.prompt("thrice", 40), { sessionId, timeoutMs: 150_000 });
  for (const step of [3, 12, 24]) {
    await steps.said(sessionId, `Step ${step}.`);
    kit.system.services.engine.kill();
  }
  const { events } = await running;
  await steps.checkWhole(sessionId, "thrice", { steps: 40, events });
}, 240_000);

test("an engine that hangs while its turn is interrupted, steered and written to: the server lives, and the next turn is whole", async () => {
  const { engine, server } = kit.system.services;
  const before = server.pid;
  const { sessionId } = await kit.turn("run `true`");
  const sandbox = (await kit.sandbox()).sandboxId;
  const events = kit.account.client.beta.sessions.events;
  const post = (each: object) => events.send(sessionId, { events: [each as never] });
  const say = (text: string, delivery?: "now") =>
    post({
      type: "user.message",
      content: [{ type: "text", text }],
      ...(delivery === undefined ? {} : { holdfast: { delivery } }),
    });
  await say(steps.prompt("hung", 60));
  await steps.said(sessionId, "Step 2.");
  process.kill(Number(engine.pid), "SIGSTOP");
  try {
    await say("run `true`", "now");
    await delay(3_000);
    await post({ type: "user.interrupt" });
    // Longer than a write may hang, and than the pings of a link are waited for.
    await delay(20_000);
    expect(server.pid).toBe(before);
  } finally {
    process.kill(Number(engine.pid), "SIGCONT");
  }
  // The first, the one that was stopped, and the one that came with priority.
  const ends = async () => eventsOf(await kit.log(sessionId), "session.status_idle").length;
  await expect.poll(ends, { timeout: 60_000 }).toBe(3);
  const { events: turn } = await kit.turn(steps.prompt("afterwards", 5), { sessionId, timeoutMs: 90_000 });
  await steps.checkWhole(sessionId, "afterwards", { steps: 5, events: turn });
  expect((await kit.sandbox()).sandboxId).toBe(sandbox);
  expect(server.pid).toBe(before);
}, 240_000);

test("an engine that hangs for a moment while a turn is written to: its Claude is not ended for that", async () => {
  const { engine } = kit.system.services;
  const { sessionId } = await kit.turn("run `true`");
  const running = kit.turn(steps.prompt("moment", 30), { sessionId, timeoutMs: 150_000 });
  await steps.said(sessionId, "Step 2.");
  process.kill(Number(engine.pid), "SIGSTOP");
  try {
    // It waits behind the turn, and is told to Claude by whom the turn hears next.
    await kit.account.client.beta.sessions.events.send(sessionId, {
      events: [{ type: "user.message", content: [{ type: "text", text: "run `true`" }] }],
    });
    await delay(12_000);
  } finally {
    process.kill(Number(engine.pid), "SIGCONT");
  }
  const { events: turn } = await running;
  await steps.checkWhole(sessionId, "moment", { steps: 30, events: turn });
}, 240_000);
