import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { answering, begin } from "./_claude-lines.ts";
import { type LocalSystem, localSystem } from "./_local-server.ts";

const why = "The machine was out of memory, and of all accounts this one took most";
let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterEach(() => {
  it.sandboxes.stage.script = answering;
});
afterAll(() => it?.[Symbol.asyncDispose]());

test("a turn whose sandbox was ended says why, and a question that was open too", async () => {
  it.sandboxes.stage.script = async (claude) => {
    begin(claude, await claude.nextUser());
    await claude.ended();
  };
  const session = await it.session();
  await session.send("go");
  await expect
    .poll(async () => (await session.events()).some(({ type }) => type === "holdfast.initialized"))
    .toBe(true);
  await it.sandboxes.last.end(`${why}.`);
  const events = await session.idle();
  const [error] = events.flatMap((event) => (event.type === "session.error" ? [event] : []));
  expect(error).toMatchObject({
    error: { message: expect.stringMatching(/sandbox ended in the middle.*kept\. The machine was out of memory/) },
  });
  expect(await session.outcomes()).toEqual(["interrupted"]);
});

test("where no turn runs the session is told, once; an end that was asked for, or has no reason, is no news", async () => {
  const session = await it.session();
  await session.send("hello");
  await session.idle();
  await it.sandboxes.last.end(why);
  const notices = async () =>
    (await session.events()).filter((event) => event.type === "holdfast.notice" && event.kind === "sandbox_ended");
  await expect.poll(notices).toMatchObject([{ level: "warning", text: expect.stringContaining(why) }]);
  await session.send("again");
  await session.idle(2);
  await it.sandboxes.last.end();
  await session.send("and again");
  await session.idle(3);
  expect(await notices()).toHaveLength(1);
  expect(await session.outcomes()).toEqual(["completed", "completed", "completed"]);
});
