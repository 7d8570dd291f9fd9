import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  answer,
  answering,
  apiRetry,
  begin,
  controlAnswer,
  delta,
  init,
  isInterrupt,
  result,
  stopped,
  text,
  toolUse,
} from "./_claude-lines.ts";
import type { LocalClaude } from "./_local-claude.ts";
import { type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";

let it: LocalSystem;
beforeEach(async () => {
  it = await localSystem();
});
afterEach(() => it?.[Symbol.asyncDispose]());

const said = async (session: LocalSession) =>
  (await session.eventsOf("agent.message")).map(({ content }) => content[0]?.text);
const started = (session: LocalSession) =>
  session.until("its start", (events) => events.some(({ type }) => type === "holdfast.initialized"));
const isRunning = (pid: number) => existsSync(`/proc/${pid}`);

/** Begins a turn with these lines, then stops as the CLI does when it is asked to. */
const stoppable = (...lines: Parameters<LocalClaude["print"]>) => {
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    claude.print(...lines);
    const asked = await claude.next(isInterrupt);
    claude.print(controlAnswer(asked, { still_queued: [] }), stopped([user]));
    await answering(claude);
  };
};

/** How long the server lets a turn go on, and a little for a machine that does much else. */
const promptMs = 6_000;

async function stopsWithin(session: LocalSession, messageId?: string): Promise<void> {
  await session.interrupt(messageId);
  await session.idle(1, promptMs);
  expect(await session.outcomes()).toEqual(["stopped"]);
  expect(await session.status()).toBe("idle");
}

async function nextWorks(session: LocalSession): Promise<void> {
  it.sandboxes.stage.script = answering;
  await session.send("and now");
  await session.idle(2);
  expect((await said(session)).at(-1)).toBe("You said: and now");
}

test.each([
  ["an answer that streams", () => delta("so far")],
  ["a tool that runs", () => [toolUse("toolu_1")]],
  ["a retry that waits", () => [apiRetry()]],
])("%s", async (_what, lines) => {
  stoppable(...lines());
  const session = await it.session();
  await session.send("work");
  await started(session);
  await stopsWithin(session);
  await nextWorks(session);
  expect(it.sandboxes.stage.started).toHaveLength(1);
});

test.each(["create", "permissions", "start"] as const)("while %s goes on", async (step) => {
  const reached = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  it.sandboxes.before[step] = async () => {
    reached.resolve();
    await go.promise;
  };
  const session = await it.session();
  await session.send("work");
  await reached.promise;
  await stopsWithin(session);
  go.resolve();
  await nextWorks(session);
  expect(await said(session)).toEqual(["You said: and now"]);
});

test("a question that waits", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    const request = { subtype: "can_use_tool", tool_name: "Bash", input: { command: "ls" }, tool_use_id: "toolu_q" };
    claude.print(toolUse("toolu_q"), { type: "control_request", request_id: "q-1", request });
    const asked = await claude.next(isInterrupt);
    claude.print({ type: "control_cancel_request", request_id: "q-1" }, controlAnswer(asked), stopped([user]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("work");
  await session.until("the question", (events) => events.some(({ type }) => type === "holdfast.permission_request"));
  await stopsWithin(session);
  expect(await session.eventsOf("holdfast.permission_resolved")).toMatchObject([{ outcome: "withdrawn" }]);
  await nextWorks(session);
});

test("a Claude that hears nothing is killed with all that it started, and resumes with the next message", async () => {
  const pids: number[] = [];
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    pids.push(await claude.spawn("sleep 1000"), await claude.spawn("sleep 1000", { detached: true }));
    begin(claude, user);
    await claude.ended();
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  await stopsWithin(session);
  const [first] = it.sandboxes.stage.started;
  expect(first?.heard.map(({ type, name }) => name ?? type)).toEqual([
    "control_request",
    "user",
    "control_request",
    "SIGINT",
  ]);
  await expect.poll(() => pids.filter(isRunning)).toEqual([]);
  await nextWorks(session);
  expect(it.sandboxes.stage.started.at(-1)?.isResumed).toBe(true);
});

test("what a stopped turn detached from Claude is ended; its background task and older ones go on", async () => {
  const pidIn = async (name: string) => {
    const path = join(it.sandboxes.folder, name);
    await expect.poll(() => existsSync(path) && readFileSync(path, "utf8").endsWith("\n")).toBe(true);
    return Number(readFileSync(path, "utf8"));
  };
  const detach = (name: string) =>
    `setsid sh -c 'echo $$ > ${join(it.sandboxes.folder, name)}; exec sleep 1000' & exit 0`;
  const pids = { task: 0, older: 0, orphan: 0 };
  it.sandboxes.stage.script = async (claude) => {
    const first = await claude.nextUser();
    begin(claude, first);
    await claude.spawn(detach("older"));
    pids.older = await pidIn("older");
    claude.print(text("served"), result([first]));
    const user = await claude.nextUser();
    begin(claude, user);
    pids.task = await claude.spawn("sleep 1000", { detached: true });
    await claude.spawn(detach("orphan"));
    pids.orphan = await pidIn("orphan");
    claude.print(toolUse("toolu_1"));
    const asked = await claude.next(isInterrupt);
    claude.print(controlAnswer(asked), stopped([user]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("serve");
  await session.idle(1);
  await session.send("work");
  await session.until("the tool", (events) => events.some(({ type }) => type === "agent.tool_use"));
  expect([pids.task, pids.older, pids.orphan].every(isRunning)).toBe(true);
  await session.interrupt();
  await session.idle(2, promptMs);
  await expect.poll(() => isRunning(pids.orphan)).toBe(false);
  await session.send("and now");
  await session.idle(3);
  expect([pids.task, pids.older].every(isRunning)).toBe(true);
  expect(it.sandboxes.stage.started).toHaveLength(1);
});

test("a guest that cannot be reached: the turn is over, its process is ended before the next one", async () => {
  it.sandboxes.stage.script = async (claude) => {
    begin(claude, await claude.nextUser());
    await claude.ended();
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  it.sandboxes.last.freezeGuest();
  await stopsWithin(session);
  it.sandboxes.last.thawGuest();
  await nextWorks(session);
  expect(it.sandboxes.stage.started[0]?.isGone).toBe(true);
});

test("a message that waits behind another one is not run at all; the one that runs goes on", async () => {
  const go = Promise.withResolvers<void>();
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    await go.promise;
    claude.print(text("done"), result([user]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("one");
  await started(session);
  const two = await session.send("two");
  await session.interrupt(two);
  expect(await session.eventsOf("holdfast.message")).toMatchObject([
    { state: "started" },
    { message_id: two, state: "removed" },
  ]);
  go.resolve();
  await session.idle();
  expect(await said(session)).toEqual(["done"]);
  expect(await session.outcomes()).toEqual(["completed"]);
});

test("pressed twice, the second time late or early: the next turn runs", async () => {
  stoppable();
  const session = await it.session();
  const one = await session.send("one");
  await started(session);
  await session.send("two");
  await Promise.all([session.interrupt(), session.interrupt()]);
  await session.idle(1);
  await session.interrupt(one);
  await session.interrupt();
  await session.idle(2);
  expect(await session.outcomes()).toEqual(["stopped", "completed"]);
  expect(await said(session)).toEqual(["You said: two"]);
  // When nothing runs it is harmless.
  await session.interrupt();
  await thirdWorks(session);
});

async function thirdWorks(session: LocalSession): Promise<void> {
  await session.send("three");
  await session.idle(3);
  expect((await said(session)).at(-1)).toBe("You said: three");
}

test("an interrupt that names a turn of nobody is refused", async () => {
  const session = await it.session();
  const refused = await session.post({ type: "user.interrupt", holdfast: { message_id: "sevt_NOBODY" } });
  expect(refused).toMatchObject({ status: 404, body: { holdfast: { code: "message_not_found" } } });
});

test("a turn that Claude began by itself", async () => {
  it.sandboxes.stage.script = async (claude) => {
    answer(claude, await claude.nextUser());
    for (const words of ["a task has ended", "so has another"]) {
      claude.print(init(claude), text(words));
      const asked = await claude.next(isInterrupt);
      claude.print(controlAnswer(asked), stopped([], { origin: { kind: "task-notification" } }));
    }
    await answering(claude);
  };
  const session = await it.session();
  await session.send("go");
  await session.until(
    "its own turn",
    (events) => events.filter((e) => e.type === "session.status_running").length === 2,
  );
  await session.interrupt();
  await session.idle(2, promptMs);
  await session.until(
    "another one",
    (events) => events.filter((e) => e.type === "session.status_running").length === 3,
  );
  await session.interrupt();
  await session.idle(3, promptMs);
  expect(await session.outcomes()).toEqual(["completed", "stopped", "stopped"]);
  expect(it.sandboxes.stage.started[0]?.isGone).toBe(false);
  expect(await session.status()).toBe("idle");
});

test("one that was stored before the server died takes effect after it", async () => {
  stoppable();
  const session = await it.session();
  await session.send("work");
  await started(session);
  await it.stopServer();
  it.write("update messages set stop_requested_at = 1 where session_id = ?", session.id);
  await it.restart();
  await session.idle(1, 20_000);
  expect(await session.outcomes()).toEqual(["stopped"]);
  await nextWorks(session);
});

test("one that came before its message went to Claude takes effect after a restart, too", async () => {
  const never = Promise.withResolvers<void>();
  it.sandboxes.before.permissions = () => never.promise;
  const session = await it.session();
  await session.send("work");
  await it.stopServer();
  it.write("update messages set stop_requested_at = 1 where session_id = ?", session.id);
  it.sandboxes.before.permissions = () => Promise.resolve();
  await it.restart();
  await session.idle(1, 20_000);
  expect(await session.outcomes()).toEqual(["stopped"]);
  expect(it.sandboxes.stage.started).toEqual([]);
});

test("an archived session: what runs is stopped, what waits is removed", async () => {
  stoppable();
  const session = await it.session();
  await session.send("one");
  await started(session);
  const two = await session.send("two");
  await session.call("POST", `/v1/sessions/${session.id}/archive`);
  await session.idle();
  expect(await session.outcomes()).toEqual(["stopped"]);
  expect(await session.eventsOf("holdfast.message")).toContainEqual(
    expect.objectContaining({ message_id: two, state: "removed" }),
  );
});
