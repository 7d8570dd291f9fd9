import type { EventOf, SessionEvent } from "@holdfast/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answering, begin, echo, init, isInterrupt, result, text, toolResult, toolUse } from "./_claude-lines.ts";
import { endsOf, type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";
import { capture, replaying } from "./_replay.ts";

/** What the real CLI printed, through the whole server. */
let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem({ sandbox: { stallNoticeMs: 400, idleProcessMs: 500, idleSandboxMs: 1_500 } });
});
afterAll(() => it?.[Symbol.asyncDispose]());

const of = <T extends SessionEvent["type"]>(events: SessionEvent[], type: T) =>
  events.filter((event): event is EventOf<T> => event.type === type);
const words = (events: SessionEvent[]) => of(events, "agent.message").map(({ content }) => content[0]?.text);
const kinds = (events: SessionEvent[]) => of(events, "holdfast.notice").map(({ kind }) => kind);
const sessionRow = (session: LocalSession) =>
  it.rows<{ status: string; cost_usd: number; claude_session_id: string }>(
    "select status, cost_usd, claude_session_id from sessions where id = ?",
    session.id,
  )[0];

/** Sends what the capture was sent, one after the other, and waits for so many ends. */
async function play(name: string, { turns }: { turns?: number } = {}): Promise<[LocalSession, SessionEvent[]]> {
  it.sandboxes.stage.script = replaying(name);
  const session = await it.session();
  const { messages } = capture(name);
  for (const [index, message] of messages.entries()) {
    await session.send(message);
    await session.idle(turns === undefined ? index + 1 : Math.min(turns, index + 1));
  }
  const events = await session.idle(turns ?? messages.length);
  expect(sessionRow(session)?.status).toBe("idle");
  expect(it.rows("select id from messages where session_id = ? and state <> 'done'", session.id)).toEqual([]);
  return [session, events];
}

test.each(["bash-background", "subagent-background", "v2.1.197/bash-background"])(
  "%s: a turn that Claude begins by itself runs and ends",
  async (name) => {
    const [session, events] = await play(name, { turns: 2 });
    expect(await session.outcomes()).toEqual(["completed", "completed"]);
    expect(of(events, "session.status_running")).toHaveLength(2);
    expect(of(events, "holdfast.turn_result")).toHaveLength(2);
  },
);

test("slash-commands: /clear changes the id that is resumed", async () => {
  const before = capture("slash-commands").steps.flatMap(({ text: line }) => JSON.parse(line).session_id ?? []);
  const [session, events] = await play("slash-commands");
  expect(kinds(events)).toContain("conversation_reset");
  expect(sessionRow(session)?.claude_session_id).toBe(before.at(-1));
  // Its process is idle and ends; the next one takes the conversation up.
  it.sandboxes.stage.script = answering;
  const known = it.sandboxes.stage.started.at(-1);
  await known?.ended();
  await session.send("go on");
  await session.idle(endsOf(events).length + 1);
  const next = it.sandboxes.stage.started.at(-1);
  expect([next?.isResumed, next?.sessionId]).toEqual([true, before.at(-1)]);
});

test.each(["error-400", "error-403", "error-404-model", "error-429-exhausted"])(
  "%s: `subtype: success` with an error is a failed turn",
  async (name) => {
    const [session, events] = await play(name);
    expect(await session.outcomes()).toEqual(["failed"]);
    expect(endsOf(events)[0]?.stop_reason).toEqual({ type: "retries_exhausted" });
    expect(of(events, "session.error")).toHaveLength(1);
    expect(of(events, "session.error")[0]?.holdfast?.remedy).not.toBe("");
  },
);

test("multi-turn: costs count up in the CLI, and are not added up again", async () => {
  const [session, events] = await play("multi-turn");
  const totals = of(events, "holdfast.turn_result").map((each) => each.total_cost_usd);
  expect(sessionRow(session)?.cost_usd).toBeCloseTo(totals.at(-1) ?? 0, 9);
  expect(totals.length).toBeGreaterThan(1);
});

test.each([
  "stream-cut",
  "stream-cut-clean",
  "stream-cut-always",
  "stream-garbage",
  "stream-stall",
  "v2.1.197/stream-cut",
  "v2.1.197/stream-cut-after-block",
  "v2.1.197/stream-cut-tool-started",
  "v2.1.197/stream-error-event",
  "v2.1.197/stream-garbage",
])("%s: a draft that was given up leaves nothing in the log", async (name) => {
  const [, events] = await play(name);
  const record = capture(name)
    .steps.map(({ text: line }) => JSON.parse(line))
    .filter(({ type, parent_tool_use_id: parent }) => type === "assistant" && parent === null)
    .flatMap(({ message }) => message.content)
    .filter((block: { type: string }) => block.type === "text")
    .map((block: { text: string }) => block.text);
  expect(words(events)).toEqual(record);
});

test("retry-529: retries are shown with their wait and number", async () => {
  const [, events] = await play("retry-529");
  const retries = of(events, "holdfast.notice").filter(({ kind }) => kind === "api_retry");
  expect(retries.map(({ data }) => data?.attempt)).toEqual(retries.map((_, index) => index + 1));
  for (const { retry_delay_ms: waits } of retries) expect(waits).toBeGreaterThan(0);
});

test("a refused credential is not tried for minutes: one error with a remedy", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    claude.print({
      ...JSON.parse(capture("error-401").steps.find(({ text: line }) => line.includes("api_retry"))?.text ?? ""),
    });
    await claude.next(isInterrupt);
    claude.print(
      result([user], {
        subtype: "error_during_execution",
        is_error: true,
        num_turns: 0,
        terminal_reason: "aborted_streaming",
      }),
    );
    await answering(claude);
  };
  const session = await it.session();
  await session.send("go");
  const events = await session.idle();
  expect(await session.outcomes()).toEqual(["failed"]);
  expect(of(events, "session.error")).toMatchObject([
    { holdfast: { code: "authentication_failed", remedy: expect.stringContaining("API key") } },
  ]);
});

test("background tasks keep process and sandbox past the idle limits, also after a restart", async () => {
  const tasks = (count: number) => ({
    type: "system",
    subtype: "background_tasks_changed",
    tasks: Array.from({ length: count }, (_, index) => ({ task_id: `t${index}` })),
  });
  const over = Promise.withResolvers<void>();
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    claude.print(tasks(1), text("it runs"), result([user]));
    await over.promise;
    claude.print(tasks(0), init(claude), text("it has ended"), result([], { origin: { kind: "task-notification" } }));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("start it");
  await session.idle();
  const sandbox = it.sandboxes.last;
  const claude = it.sandboxes.stage.started.at(-1);
  await it.restart();
  // Well past both limits.
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  expect([sandbox.isRunning, claude?.isGone]).toEqual([true, false]);
  over.resolve();
  const events = await session.idle(2);
  expect(words(events)).toEqual(["it runs", "it has ended"]);
  // Now nobody needs them.
  await claude?.ended();
  await expect.poll(() => sandbox.isRunning, { timeout: 10_000 }).toBe(false);
}, 40_000);

test("v2.1.197/compact: compaction is said", async () => {
  const [, events] = await play("v2.1.197/compact");
  expect(kinds(events)).toContain("compact_boundary");
});

test.each(["subagent", "v2.1.197/subagents-parallel"])(
  "%s: what a subagent does is linked to its call",
  async (name) => {
    const [, events] = await play(name);
    const agents = of(events, "agent.tool_use").filter(({ name: tool }) => /^(Agent|Task)$/.test(tool));
    const inner = of(events, "agent.tool_use").filter(({ holdfast }) => holdfast.parent_event_id !== undefined);
    expect(inner.length).toBeGreaterThan(0);
    for (const { holdfast } of inner) expect(agents.map(({ id }) => id)).toContain(holdfast.parent_event_id);
  },
);

test("tool calls that nobody answers are closed with the turn, those of a background agent are not", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    claude.print(
      toolUse("toolu_bg", "Agent"),
      toolResult("toolu_bg", "launched"),
      { ...toolUse("toolu_inner"), parent_tool_use_id: "toolu_bg" },
      toolUse("toolu_open"),
      result([user]),
    );
    await answering(claude);
  };
  const session = await it.session();
  await session.send("go");
  const calls = of(await session.idle(), "agent.tool_use").map(({ id, holdfast }) => [holdfast.tool_use_id, id]);
  const ids = Object.fromEntries(calls) as Record<string, string>;
  const unfinished = async () =>
    (await session.eventsOf("agent.tool_result")).filter(({ is_error }) => is_error).map((each) => each.tool_use_id);
  expect(await unfinished()).toEqual([ids.toolu_open]);
  // The process ends, idle: nobody will answer the other one, either.
  await expect.poll(unfinished, { timeout: 10_000 }).toEqual([ids.toolu_open, ids.toolu_inner]);
});

test("two results for one message end one turn; a missing one is said", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    claude.print(text("once"), result([user], { result_index: 0 }), result([user], { result_index: 1 }));
    const second = await claude.nextUser();
    begin(claude, second);
    claude.print(text("twice"), result([second], { result_index: 4 }));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("one");
  await session.idle();
  await session.send("two");
  const events = await session.idle(2);
  expect(await session.outcomes()).toEqual(["completed", "completed"]);
  expect(of(events, "holdfast.notice").filter(({ kind }) => kind === "output_lost")).toMatchObject([
    { data: { expected: 2, got: 4 } },
  ]);
});

test("types that nobody knows are kept, and end nothing", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    claude.print({ type: "brand_new", x: 1 }, "not even JSON", text("fine"), result([user]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("go");
  const events = await session.idle();
  expect(of(events, "holdfast.other").map(({ line_type }) => line_type)).toEqual(["brand_new", "text"]);
});

test("silence of the model is said, once, and again by nobody while a tool runs or a retry waits", async () => {
  const steps = { tool: Promise.withResolvers<void>(), end: Promise.withResolvers<void>() };
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    claude.print(init(claude), echo(user));
    await steps.tool.promise;
    claude.print(toolUse("toolu_slow"));
    await steps.end.promise;
    claude.print(toolResult("toolu_slow", "done"), text("at last"), result([user]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("go");
  const stalled = async () => (await session.eventsOf("holdfast.notice")).filter(({ kind }) => kind === "stalled");
  await expect.poll(async () => (await stalled()).length, { timeout: 10_000 }).toBe(1);
  expect((await stalled())[0]).toMatchObject({ level: "warning", data: { silent_ms: expect.any(Number) } });
  steps.tool.resolve();
  await session.until("the tool", (events) => of(events, "agent.tool_use").length === 1);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect(await stalled()).toHaveLength(1);
  steps.end.resolve();
  await session.idle();
  expect(await session.outcomes()).toEqual(["completed"]);
});
