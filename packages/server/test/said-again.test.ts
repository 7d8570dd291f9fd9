import { inBackground } from "@holdfast/std";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answering, begin, isInterrupt, text, toolUse, wordsOf } from "./_claude-lines.ts";
import type { ClaudeScript, Line, LocalClaude } from "./_local-claude.ts";
import { type LocalSystem, localSystem } from "./_local-server.ts";

/** What becomes of a message whose process is killed by somebody else. */
let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());

/** The first processes, as many as `times`, are killed when they have got the message; gives what all of them got. */
function killing(times: number, kill = ({ pid }: LocalClaude): unknown => process.kill(pid, "SIGKILL")): Line[] {
  const got: Line[] = [];
  const script: ClaudeScript = async (claude) => {
    if (got.length >= times) {
      it.sandboxes.stage.script = answering;
      return await answering(claude);
    }
    const user = await claude.nextUser();
    got.push(user);
    begin(claude, user);
    kill(claude);
    await claude.ended();
  };
  it.sandboxes.stage.script = script;
  return got;
}

async function noticesOf(session: Awaited<ReturnType<LocalSystem["session"]>>): Promise<string[]> {
  return (await session.eventsOf("holdfast.notice")).map(({ kind }) => kind);
}

test.each([
  ["killed", undefined],
  // As `runuser` tells it.
  ["said to be killed", (claude: LocalClaude) => inBackground(claude.exit(137), () => undefined)],
])("before anything was answered it is said again, under another id, and answered once (%s)", async (_how, kill) => {
  const got = killing(1, kill);
  const session = await it.session();
  await session.send("go");
  await session.idle();
  expect(await session.outcomes()).toEqual(["completed"]);
  expect(await noticesOf(session)).toEqual(["said_again"]);
  const last = it.sandboxes.stage.started.at(-1);
  const again = last?.heard.filter(({ type }) => type === "user") ?? [];
  expect(again.map(wordsOf)).toEqual(["go"]);
  expect(again[0]?.uuid).not.toBe(got[0]?.uuid);
  expect(last?.isResumed).toBe(true);
});

test("one that is killed each time is given up in words", async () => {
  const got = killing(10);
  const session = await it.session();
  await session.send("go");
  await session.idle();
  expect(await session.outcomes()).toEqual(["failed"]);
  expect(got).toHaveLength(3);
  const [error] = await session.eventsOf("session.error");
  expect(error).toMatchObject({ holdfast: { code: "claude_start_failed" } });
  expect(error?.error.message).toContain("3 times");
});

test.each([
  ["words", text("I begin."), "agent.message"],
  ["a call", toolUse("toolu_1"), "agent.tool_use"],
] as const)("after %s it is not: something may have been done", async (_what, line, type) => {
  const starts = it.sandboxes.stage.started.length;
  it.sandboxes.stage.script = async (claude) => {
    begin(claude, await claude.nextUser());
    claude.print(line);
    await claude.ended();
  };
  const session = await it.session();
  await session.send("go");
  await session.until("an answer", (all) => all.some((event) => event.type === type));
  process.kill((await it.sandboxes.stage.claude(starts)).pid, "SIGKILL");
  await session.idle();
  expect(await session.outcomes()).toEqual(["interrupted"]);
  expect(await noticesOf(session)).toEqual([]);
  expect(it.sandboxes.stage.started).toHaveLength(starts + 1);
});

test("nor is one that a server of before has seen answers to", async () => {
  const starts = it.sandboxes.stage.started.length;
  it.sandboxes.stage.script = async (claude) => {
    begin(claude, await claude.nextUser());
    claude.print(toolUse("toolu_1"));
    await claude.ended();
  };
  const session = await it.session();
  await session.send("go");
  await session.until("a call", (all) => all.some(({ type }) => type === "agent.tool_use"));
  await it.restart();
  const claude = await it.sandboxes.stage.claude(starts);
  // It is found again when it is asked for its open questions.
  await claude.hears((line) => JSON.stringify(line).includes("open-questions-"));
  process.kill(claude.pid, "SIGKILL");
  await session.idle();
  expect(await session.outcomes()).toEqual(["interrupted"]);
  expect(await noticesOf(session)).toEqual([]);
});

test("nor is one whose end was asked for", async () => {
  const stopped = Promise.withResolvers<void>();
  it.sandboxes.stage.script = async (claude) => {
    begin(claude, await claude.nextUser());
    await claude.next(isInterrupt);
    process.kill(claude.pid, "SIGKILL");
    stopped.resolve();
    await claude.ended();
  };
  const session = await it.session();
  await session.send("go");
  await session.until("Claude's beginning", (all) => all.some(({ type }) => type === "holdfast.initialized"));
  await session.interrupt();
  await stopped.promise;
  await session.idle();
  expect(await session.outcomes()).toEqual(["stopped"]);
  expect(await noticesOf(session)).toEqual([]);
});
