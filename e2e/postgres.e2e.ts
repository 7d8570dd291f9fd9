import { createTestKit, eventsOf, spokenText, type TestKit } from "@holdfast/testkit";
import { startPostgres, type TestPostgres } from "@holdfast/testkit/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";

let cluster: TestPostgres;
let kit: TestKit;
beforeAll(async () => {
  cluster = await startPostgres();
  kit = await createTestKit({ databaseUrl: await cluster.createDatabase() });
});
afterAll(async () => {
  await kit?.[Symbol.asyncDispose]();
  await cluster?.[Symbol.asyncDispose]();
});

test("turns on PostgreSQL, over the end and the return of the database in the middle of one", async () => {
  const { sessionId, events } = await kit.turn("Say hello");
  expect(spokenText(events)).not.toBe("");
  const running = kit.turn("Run the command `sleep 3; echo done` please", { sessionId });
  await expect.poll(async () => eventsOf(await kit.log(sessionId), "user.message").length, { timeout: 20_000 }).toBe(2);
  await cluster.restart("immediate");
  const { events: second } = await running.catch(async () => ({ events: await kit.log(sessionId) }));
  expect(second.at(-1)?.type).toBeDefined();
  await expect
    .poll(async () => (await kit.log(sessionId)).at(-1)?.type, { timeout: 60_000 })
    .toMatch(/session.status_idle|holdfast.step/);
  const log = await kit.log(sessionId);
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_, i) => i + 1));
  expect(eventsOf(log, "session.status_idle")).toHaveLength(2);
  expect(eventsOf(log, "session.error")).toEqual([]);
});
