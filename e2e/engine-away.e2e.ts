import { setTimeout as delay } from "node:timers/promises";
import type { SessionEvent } from "@holdfast/protocol";
import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

let kit: TestKit;
const gateway = { adminUrl: "", adminToken: "" };

beforeAll(async () => {
  kit = await createTestKit({
    adjust: (name, options) => {
      if (name === "server") {
        Object.assign(gateway, options.gateway);
        return { ...options, sweepEveryMs: 500 };
      }
      if (name !== "gateway") return options;
      return { ...options, scriptedModel: { allowScripts: true, deltaDelayMs: 4, deltaChars: 60, recordLimit: 400 } };
    },
  });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

/** A turn of `steps` commands, each of which takes a moment. */
async function script(tag: string, steps: number): Promise<void> {
  const turns = Array.from({ length: steps }, (_, n) => ({
    text: `Step ${n}.`,
    toolUse: [{ name: "Bash", input: { command: `echo ${tag}-${n} >> /mnt/workspace/${tag}; sleep 0.3` } }],
    delayMs: 2,
  }));
  const answer = await fetch(`${gateway.adminUrl}/admin/scripts`, {
    method: "POST",
    headers: { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" },
    body: JSON.stringify([{ when: { userTextIncludes: tag }, turns: [...turns, { text: "Done.", delayMs: 2 }] }]),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

async function checkWhole(tag: string, steps: number, turn: SessionEvent[], sessionId: string): Promise<void> {
  const all = Array.from({ length: steps }, (_, n) => n);
  expect(eventsOf(turn, "session.error")).toEqual([]);
  expect(eventsOf(turn, "session.status_idle")[0]?.holdfast?.outcome).toBe("completed");
  const said = eventsOf(turn, "agent.message").flatMap((event) => event.content.map((block) => block.text));
  expect(said).toEqual([...all.map((n) => `Step ${n}.`), "Done."]);
  const ran = (await kit.exec(["cat", `/mnt/workspace/${tag}`])).stdout.trim().split("\n");
  expect(ran).toEqual(all.map((n) => `${tag}-${n}`));
  const log = await kit.log(sessionId);
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
}

test("an engine that is away for half a minute: the turn goes on meanwhile, nothing is settled, and all of it is there soon after", async () => {
  const { engine } = kit.system.services;
  await script("away", 40);
  const { sessionId } = await kit.turn("run `true`");
  const sandbox = (await kit.sandbox()).sandboxId;
  const running = kit.turn("away", { sessionId, timeoutMs: 150_000 });
  await expect
    .poll(async () => JSON.stringify(await kit.log(sessionId)).includes("Step 2."), { timeout: 30_000 })
    .toBe(true);
  await engine.stop("SIGTERM", 10_000);
  await delay(30_000);
  await engine.start();
  const backMs = performance.now();
  const before = (await kit.log(sessionId)).length;
  await expect.poll(async () => (await kit.log(sessionId)).length, { timeout: 60_000 }).toBeGreaterThan(before);
  const recoveredMs = Math.round(performance.now() - backMs);
  const { events } = await running;
  await checkWhole("away", 40, events, sessionId);
  expect((await kit.sandbox()).sandboxId).toBe(sandbox);
  console.info(`after half a minute without an engine: first event ${recoveredMs} ms after its start`);
  expect(recoveredMs).toBeLessThan(10_000);
}, 240_000);

test("an engine that is killed three times in a turn: nothing is lost or doubled", async () => {
  await script("thrice", 40);
  const { sessionId } = await kit.turn("run `true`");
  const running = kit.turn("thrice", { sessionId, timeoutMs: 150_000 });
  for (const step of [3, 12, 24]) {
    const seen = async () => JSON.stringify(await kit.log(sessionId)).includes(`Step ${step}.`);
    await expect.poll(seen, { timeout: 60_000 }).toBe(true);
    kit.system.services.engine.kill();
  }
  const { events } = await running;
  await checkWhole("thrice", 40, events, sessionId);
}, 240_000);
