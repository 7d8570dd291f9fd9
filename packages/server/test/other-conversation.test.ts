import { afterAll, beforeAll, expect, test } from "vitest";
import { answering } from "./_claude-lines.ts";
import { type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";
import { replaying } from "./_replay.ts";

/** What Claude Code knows of a conversation is not always what the server thinks. */
let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem({ sandbox: { idleProcessMs: 300 } });
});
afterAll(() => it?.[Symbol.asyncDispose]());

const said = async (session: LocalSession) =>
  (await session.eventsOf("agent.message")).map(({ content }) => content[0]?.text);

test("resume-missing: killed before its first request, a conversation is begun anew with its message", async () => {
  it.sandboxes.stage.script = answering;
  const session = await it.session();
  await session.send("one");
  await session.idle();
  await it.sandboxes.stage.started.at(-1)?.ended();
  const before = it.sandboxes.stage.started.length;
  it.sandboxes.stage.script = async (claude) => {
    it.sandboxes.stage.script = answering;
    await replaying("resume-missing")(claude);
  };
  await session.send("two");
  await session.idle(2);
  expect(it.sandboxes.stage.started.slice(before).map(({ isResumed }) => isResumed)).toEqual([true, false]);
  expect(await said(session)).toEqual(["You said: one", "You said: two"]);
  expect(await session.outcomes()).toEqual(["completed", "completed"]);
  expect(await session.eventsOf("session.error")).toEqual([]);
});

test("session-id-in-use: one that was begun although nobody heard of it is resumed", async () => {
  const before = it.sandboxes.stage.started.length;
  it.sandboxes.stage.script = async (claude) => {
    it.sandboxes.stage.script = answering;
    claude.complain(`Error: Session ID ${claude.sessionId} is already in use.\n`);
    await claude.exit(1);
  };
  const session = await it.session();
  await session.send("one");
  await session.idle();
  expect(it.sandboxes.stage.started.slice(before).map(({ isResumed }) => isResumed)).toEqual([false, true]);
  expect(await said(session)).toEqual(["You said: one"]);
  expect(await session.outcomes()).toEqual(["completed"]);
});
