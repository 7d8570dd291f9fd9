import { setTimeout as delay } from "node:timers/promises";
import type { TestKit } from "@holdfast/testkit";
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
