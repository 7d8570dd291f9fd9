import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answering, begin, init, result, text, toolResult } from "./_claude-lines.ts";
import type { Line, LocalClaude } from "./_local-claude.ts";
import { type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";
import {
  answersTo,
  answerTo,
  ask,
  asked,
  detailOf,
  openOf,
  type Question,
  question,
  reply,
  requestsOf,
  resolvedOf,
  say,
} from "./_questions.ts";

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem({ sandbox: { permissionMode: "default" } });
});
afterAll(() => it?.[Symbol.asyncDispose]());

const isInitialize = (line: Line) => line.type === "control_request" && (line.request as Line).subtype === "initialize";

/** What Claude Code says to `initialize`: the questions that are open in it. */
const openIn = (request: Line, open: Line[]): Line => ({
  type: "control_response",
  response: {
    subtype: "success",
    request_id: request.request_id,
    response: { commands: [] },
    pending_permission_requests: open,
    pending_user_dialog_requests: [],
  },
});

interface Waiting {
  session: LocalSession;
  claude: LocalClaude;
  question: Question;
  finish(): void;
}

/** A session whose turn waits for an answer; its process says nothing by itself after that. */
async function waiting(system: LocalSystem = it): Promise<Waiting> {
  const asks = Promise.withResolvers<{ user: Line; question: Question }>();
  const finished = Promise.withResolvers<void>();
  system.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    const question = ask(claude, "touch one");
    asks.resolve({ user, question });
    await finished.promise;
    claude.print(toolResult(question.toolId, "ran"), text("Done."), result([user]));
    await answering(claude);
  };
  const started = system.sandboxes.stage.started.length;
  const session = await system.session();
  await session.send("go");
  const { question } = await asks.promise;
  await asked(session);
  return { session, claude: await system.sandboxes.stage.claude(started), question, finish: finished.resolve };
}

describe("over a restart of the server", () => {
  test("it is still open, is asked for, and its answer reaches Claude once", async () => {
    const { session, claude, question, finish } = await waiting();
    await it.restart();
    claude.print(openIn(await claude.next(isInitialize), [question.line]));
    expect(openOf(await session.events())).toHaveLength(1);
    expect(await session.status()).toBe("idle");
    await say(session, await asked(session));
    expect(await answerTo(claude, question)).toMatchObject({ behavior: "allow" });
    finish();
    const events = await session.idle();
    expect(requestsOf(events)).toHaveLength(1);
    expect(resolvedOf(events)).toMatchObject([{ outcome: "allowed" }]);
    expect(answersTo(claude, question)).toHaveLength(1);
    expect(await session.outcomes()).toEqual(["completed"]);
  });

  test("an answer that its guest could not take yet is told to it by the next server", async () => {
    const { session, claude, question, finish } = await waiting();
    const stopped = it.sandboxes.last.processes();
    for (const pid of stopped) process.kill(pid, "SIGSTOP");
    await say(session, await asked(session));
    expect(answersTo(claude, question)).toEqual([]);
    await it.restart();
    for (const pid of stopped) process.kill(pid, "SIGCONT");
    expect(await answerTo(claude, question)).toMatchObject({ behavior: "allow" });
    finish();
    await session.idle();
    expect(answersTo(claude, question)).toHaveLength(1);
  });

  test("what Claude does not ask any more is withdrawn, and the turn goes on", async () => {
    const { session, claude, finish } = await waiting();
    const open = await asked(session);
    await it.restart();
    claude.print(openIn(await claude.next(isInitialize), []));
    const events = await session.until("its end", (all) => resolvedOf(all).length > 0);
    expect(resolvedOf(events)).toMatchObject([{ outcome: "withdrawn", message: expect.stringContaining("any more") }]);
    expect(events.at(-1)?.type).toBe("session.status_running");
    expect(await session.status()).toBe("running");
    expect(detailOf(await reply(session, open))).toContain("does not ask it any more");
    finish();
    await session.idle();
  });

  test("what was never stored is asked now", async () => {
    const { session, claude, question: first, finish } = await waiting();
    const unknown = question("touch two");
    await it.restart();
    claude.print(openIn(await claude.next(isInitialize), [first.line, unknown.line]));
    const events = await session.until("both", (all) => requestsOf(all).length === 2);
    const second = requestsOf(events)[1];
    expect(second).toMatchObject({ input: { command: "touch two" } });
    for (const open of openOf(events)) await say(session, open);
    for (const each of [first, unknown]) expect(await answerTo(claude, each)).toMatchObject({ behavior: "allow" });
    finish();
    await session.idle();
  });

  test("it expires when its sandbox is gone by then", async () => {
    const { session } = await waiting();
    const open = await asked(session);
    await it.sandboxes.last.end();
    await it.restart();
    const events = await session.idle();
    expect(resolvedOf(events)).toMatchObject([{ outcome: "expired" }]);
    expect(await session.outcomes()).toEqual(["interrupted"]);
    const late = await reply(session, open);
    expect(late.status).toBe(409);
    expect(detailOf(late)).toMatch(/sandbox (has )?ended/);
  });

  test("a question of a turn that Claude began by itself", async () => {
    const started = it.sandboxes.stage.started.length;
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      claude.print(result([user]), init(claude));
      const own = ask(claude, "touch own");
      await answerTo(claude, own);
      claude.print(result([], { origin: { kind: "task-notification" } }));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("go");
    await asked(session);
    await it.restart();
    await (await it.sandboxes.stage.claude(started)).hears(isInitialize);
    await say(session, await asked(session));
    const events = await session.idle(2);
    expect(resolvedOf(events)).toMatchObject([{ outcome: "allowed" }]);
  });
});

test("two servers: of two answers at the same time one counts, and it reaches Claude from either", async () => {
  const { session, claude, question, finish } = await waiting();
  const open = await asked(session);
  await using second = await it.beside();
  const { path, key } = it.path(session, "events");
  const body = (result: string) =>
    JSON.stringify({ events: [{ type: "user.tool_confirmation", tool_use_id: open.tool_use_id, result }] });
  const answers = await Promise.all([
    second.fetch(path, { key, method: "POST", body: body("allow") }),
    it.server.fetch(path, { key, method: "POST", body: body("deny") }),
    second.fetch(path, { key, method: "POST", body: body("allow") }),
  ]);
  expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409, 409]);
  await answerTo(claude, question);
  finish();
  await session.idle();
  expect(resolvedOf(await session.events())).toHaveLength(1);
  expect(answersTo(claude, question)).toHaveLength(1);
});

test("no reaper ends what waits: neither its process nor its sandbox", async () => {
  await using eager = await localSystem({
    sandbox: { permissionMode: "default", idleProcessMs: 20, idleSandboxMs: 40 },
  });
  const { session, claude, question, finish } = await waiting(eager);
  const held = eager.sandboxes.last;
  // Meanwhile another workspace's process and sandbox are ended for being idle.
  eager.sandboxes.stage.script = answering;
  const idle = await eager.session();
  await idle.send("hello");
  await idle.idle();
  const reaped = eager.sandboxes.last;
  expect(reaped).not.toBe(held);
  await expect.poll(() => reaped.isRunning, { timeout: 20_000 }).toBe(false);
  expect(held.isRunning).toBe(true);
  expect(claude.isGone).toBe(false);
  // Also not after another server has taken it over.
  await eager.restart();
  claude.print(openIn(await claude.next(isInitialize), [question.line]));
  const again = await eager.session();
  await again.send("hello");
  await again.idle();
  const second = eager.sandboxes.last;
  await expect.poll(() => second.isRunning, { timeout: 20_000 }).toBe(false);
  expect(held.isRunning).toBe(true);
  await say(session, await asked(session));
  await answerTo(claude, question);
  finish();
  await session.idle();
  expect(await session.outcomes()).toEqual(["completed"]);
});

test("the guest dies with its processes: the question expires, and the next message works", async () => {
  const { session } = await waiting();
  const open = await asked(session);
  it.sandboxes.last.killGuest();
  const events = await session.idle(1, 60_000);
  expect(resolvedOf(events)).toMatchObject([{ outcome: "expired" }]);
  expect((await reply(session, open)).status).toBe(409);
  it.sandboxes.stage.script = answering;
  await session.send("again");
  await session.idle(2, 60_000);
});
