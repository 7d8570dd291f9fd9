import { afterAll, beforeAll, expect, test } from "vitest";
import { answering, echo, init, result, text } from "./_claude-lines.ts";
import { type LocalSystem, localSystem } from "./_local-server.ts";

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem({ sandbox: { stallNoticeMs: 300, startLimitMs: 1_500 } });
});
afterAll(() => it?.[Symbol.asyncDispose]());

const hook = (subtype: "hook_started" | "hook_response", more: object = {}) => ({
  type: "system",
  subtype,
  hook_id: "h1",
  hook_name: "SessionStart:startup",
  ...more,
});

test("a start that waits for a hook is told, and ended when it takes too long; the session goes on", async () => {
  it.sandboxes.stage.script = async (claude) => {
    claude.print(hook("hook_started"));
    await claude.ended();
  };
  const session = await it.session();
  await session.send("go");
  const events = await session.idle();
  const stalled = events.flatMap((event) => (event.type === "holdfast.notice" ? [event] : []));
  // On a busy machine the silence before the hook may be told, too.
  const told = stalled.find(({ data }) => data?.waiting_for === "hook");
  expect(told).toMatchObject({ kind: "stalled", data: { hook: "SessionStart:startup" } });
  expect(told?.text).toMatch(/^Claude Code has not started yet: it has waited for its hook SessionStart:startup/);
  expect(await session.outcomes()).toEqual(["failed"]);
  const [error] = await session.eventsOf("session.error");
  expect(error?.holdfast).toMatchObject({ code: "claude_start_failed" });
  it.sandboxes.stage.script = answering;
  await session.send("again");
  await session.until("the second end", (all) => all.filter(({ type }) => type === "session.status_idle").length === 2);
  expect(await session.outcomes()).toEqual(["failed", "completed"]);
});

test("one that says that it asks, and does not, is told and ended as one that has not asked", async () => {
  it.live.calls = 0;
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    claude.print(init(claude), echo(user), { type: "system", subtype: "status", status: "requesting" });
    await claude.ended();
  };
  const session = await it.session();
  try {
    await session.send("go");
    await session.idle();
  } finally {
    it.live.calls = 1;
  }
  const [stalled] = (await session.eventsOf("holdfast.notice")).filter(({ kind }) => kind === "stalled");
  expect(stalled?.data).toMatchObject({ waiting_for: "start" });
  expect((await session.eventsOf("session.error"))[0]?.holdfast).toMatchObject({ code: "claude_start_failed" });
});

test("a model that was asked has no limit, however long it is silent, and hooks that have ended are not named", async () => {
  const end = Promise.withResolvers<void>();
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    claude.print(hook("hook_started"), hook("hook_response", { outcome: "success" }), init(claude), echo(user));
    claude.print({ type: "system", subtype: "status", status: "requesting" });
    await end.promise;
    claude.print(text("at last"), result([user]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("go");
  const stalled = async () => (await session.eventsOf("holdfast.notice")).filter(({ kind }) => kind === "stalled");
  // A start that takes its time on a busy machine may be told before.
  await expect.poll(async () => (await stalled()).at(-1)?.data).toMatchObject({ waiting_for: "model" });
  // Longer than the limit of a start.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  end.resolve();
  await session.idle();
  expect(await session.outcomes()).toEqual(["completed"]);
});
