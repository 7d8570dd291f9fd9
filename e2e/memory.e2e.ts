import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

const mib = 1024 ** 2;

/** A small machine, whatever else runs on this one; an account has memory for two sandboxes. */
const settings: Record<string, object> = {
  engine: { memory: { totalBytes: 3_072 * mib }, keepFree: { memoryBytes: 400 * mib } },
  server: { sandbox: { memoryMiB: 2_000 } },
};

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit({ saves: false, adjust: (name, given) => ({ ...given, ...settings[name] }) });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const inWorkspace = (name: string) => ({ metadata: { "holdfast.workspace": name } });

/** Takes its memory and holds it. */
const hog = 'run `node -e "globalThis.held = Buffer.alloc(1_600 * 2 ** 20, 1); setTimeout(() => {}, 40_000)"`';

test("one account's hogs cost that account its own: they are told why, and the other's turn completes", async () => {
  const neighbour = await kit.addAccount("neighbour");
  const { sessionId } = await kit.turn("list the files", { account: neighbour });
  const theirs = kit.turn("run `sleep 15; echo still here`", { account: neighbour, sessionId });
  const mine = await Promise.all(["one", "two"].map((workspace) => kit.turn(hog, inWorkspace(workspace))));
  const errors = mine.flatMap(({ events }) => eventsOf(events, "session.error"));
  expect(errors.map(({ error }) => error.message).join("\n")).toMatch(
    /sandbox ended in the middle of the turn.*The machine was out of memory, and of all accounts this one took most/,
  );
  const { events } = await theirs;
  expect(JSON.stringify(events)).toContain("still here");
  expect(events.at(-1)).toMatchObject({ type: "session.status_idle", holdfast: { outcome: "completed" } });
  // What was ended is started anew by the next message.
  const ended = mine.find(({ events: said }) => eventsOf(said, "session.error").length > 0);
  const again = await kit.turn("list the files", { sessionId: ended?.sessionId ?? "" });
  expect(again.events.at(-1)).toMatchObject({ holdfast: { outcome: "completed" } });
}, 300_000);

test("a sandbox for which no memory is left to reserve is refused in words; when one has ended it starts", async () => {
  const account = await kit.addAccount("many");
  await kit.turn("hello", { account, ...inWorkspace("one") });
  await kit.turn("hello", { account, ...inWorkspace("two") });
  const third = await kit.turn("hello", { account, ...inWorkspace("three") });
  expect(eventsOf(third.events, "session.error")[0]?.error.message).toMatch(
    /reserves 2000 MiB does not fit: the sandboxes of this account reserve 4000 MiB of 5344 MiB.*Stop one/,
  );
  await (await kit.sandbox(account)).terminate({ wait: true });
  const again = await kit.turn("hello", { account, sessionId: third.sessionId });
  expect(again.events.at(-1)).toMatchObject({ holdfast: { outcome: "completed" } });
}, 300_000);
