import { randomUUID } from "node:crypto";
import type { BackgroundTask } from "@holdfast/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  answering,
  begin,
  controlAnswer,
  init,
  isInterrupt,
  lifecycle,
  result,
  text,
  toolUse,
} from "./_claude-lines.ts";
import type { Line, LocalClaude } from "./_local-claude.ts";
import { endsOf, type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";
import { openOf, question } from "./_questions.ts";

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());

const tasks = (...all: Line[]): Line => ({
  type: "system",
  subtype: "background_tasks_changed",
  tasks: all,
  uuid: randomUUID(),
});
const state = (now: string): Line => ({ type: "system", subtype: "session_state_changed", state: now });
const agent = (id: string): Line => ({ task_id: id, task_type: "local_agent", description: `agent ${id}` });
const shell = (id: string): Line => ({ task_id: id, task_type: "local_bash", description: `shell ${id}` });
const began = (id: string, toolUseId: string): Line => ({
  type: "system",
  subtype: "task_started",
  task_id: id,
  tool_use_id: toolUseId,
  description: id,
  is_backgrounded: true,
  uuid: randomUUID(),
});
const own = (claude: LocalClaude, words: string): Line[] => [
  init(claude),
  text(words),
  result([], { origin: { kind: "task-notification" } }),
];
const isStopTask = (line: Line) => line.type === "control_request" && (line.request as Line).subtype === "stop_task";
const backgroundOf = async (session: LocalSession) =>
  ((await session.call("GET", `/v1/sessions/${session.id}`)).body.holdfast as { background: BackgroundTask[] })
    .background;
const newest = () => it.sandboxes.stage.started.at(-1) as LocalClaude;

/** A session whose first turn has left an agent at work; what Claude does then is the test's. */
async function working(then: (claude: LocalClaude) => Promise<void> = answering): Promise<{
  session: LocalSession;
  messageId: string;
  claude: LocalClaude;
}> {
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    claude.print(state("running"));
    begin(claude, user);
    claude.print(toolUse("toolu_1", "Agent"), tasks(agent("a1")), began("a1", "toolu_1"), result([user]));
    await then(claude);
  };
  const session = await it.session();
  const messageId = await session.send("spawn");
  await session.until("the turn's result", (events) => events.some(({ type }) => type === "holdfast.turn_result"));
  return { session, messageId, claude: newest() };
}

describe("a session with an agent at work", () => {
  test("is running until what the agent has brought was looked at, and then idle once", async () => {
    const { session, claude } = await working();
    expect([await session.status(), endsOf(await session.events())]).toEqual(["running", []]);
    expect(await backgroundOf(session)).toMatchObject([{ id: "a1", kind: "agent", description: "agent a1" }]);
    claude.print(tasks());
    await session.until("the agent's end", (events) =>
      events.some((each) => each.type === "holdfast.background" && each.tasks.length === 0),
    );
    expect([await session.status(), await backgroundOf(session)]).toEqual(["running", []]);
    claude.print(...own(claude, "it is done"), state("idle"));
    const events = await session.idle();
    expect(events.filter(({ type }) => type === "session.status_running")).toHaveLength(1);
    expect(await session.outcomes()).toEqual(["completed"]);
    expect(await session.status()).toBe("idle");
  });

  test("takes a message at once, and is idle when both are over", async () => {
    const { session, claude } = await working();
    await session.send("and now");
    const second = await claude.hears((line) => line.type === "user" && JSON.stringify(line).includes("and now"));
    await session.until("its answer", (events) =>
      events.some((each) => each.type === "agent.message" && each.content[0]?.text === "You said: and now"),
    );
    expect([await session.status(), endsOf(await session.events())]).toEqual(["running", []]);
    claude.print(lifecycle(second, "completed"), tasks(), state("idle"));
    await session.idle();
    expect(await session.outcomes()).toEqual(["completed"]);
  });

  test("stays running over a restart of the server", async () => {
    const { session, claude } = await working();
    await it.restart();
    claude.print(tasks(shell("b1")));
    await session.until("the shell", (events) => events.some((each) => JSON.stringify(each).includes('"b1"')));
    expect([await session.status(), endsOf(await session.events())]).toEqual(["running", []]);
    claude.print(...own(claude, "done"), state("idle"));
    await session.idle();
    expect(await session.outcomes()).toEqual(["completed"]);
    expect(await backgroundOf(session)).toMatchObject([{ id: "b1", kind: "shell" }]);
  });

  test("whose process dies is said to be cut off", async () => {
    const { session, claude } = await working();
    await claude.exit(1);
    await session.idle();
    expect(await session.outcomes()).toEqual(["interrupted"]);
    expect([await session.status(), await backgroundOf(session)]).toEqual(["idle", []]);
  });

  test("keeps what the agent asks open when the turn that began it ends", async () => {
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      claude.print(toolUse("toolu_1", "Agent"), tasks(agent("a1")), began("a1", "toolu_1"));
      const { call, line } = question("touch one");
      claude.print({ ...call, parent_tool_use_id: "toolu_1" }, line, result([user]));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("spawn");
    const events = await session.until("the result", (all) => all.some(({ type }) => type === "holdfast.turn_result"));
    expect(openOf(events)).toHaveLength(1);
  });
});

describe("stop", () => {
  const interrupted = async (claude: LocalClaude) => {
    const line = await claude.next(isInterrupt);
    claude.print(tasks(), controlAnswer(line, { still_queued: [] }), state("idle"));
    await answering(claude);
  };

  test("ends agents although no turn runs", async () => {
    const { session } = await working(interrupted);
    await session.interrupt();
    await session.idle();
    expect(await session.outcomes()).toEqual(["stopped"]);
    expect(await session.status()).toBe("idle");
    // Whatever comes later was not meant.
    await session.send("hello");
    await session.idle(2);
    expect(await session.outcomes()).toEqual(["stopped", "completed"]);
  });

  test("that names the message which began them ends them, too", async () => {
    const { session, messageId } = await working(interrupted);
    await session.interrupt(messageId);
    await session.idle();
    expect(await session.outcomes()).toEqual(["stopped"]);
  });

  test("ends a process whose agents do not end, within two seconds", async () => {
    const { session, claude } = await working(async (each) => {
      await each.next(isInterrupt);
      await each.next((line) => line.type === "signal");
      await each.exit(0);
    });
    const since = performance.now();
    await session.interrupt();
    await session.idle();
    expect(performance.now() - since).toBeLessThan(3_000);
    expect([await session.outcomes(), claude.isGone]).toEqual([["stopped"], true]);
  });

  test("is obeyed by a server that has just come to the session", async () => {
    const { session, claude } = await working(interrupted);
    await it.stopServer();
    it.write("update sessions set stop_requested_at = 1 where id = ?", session.id);
    await it.restart();
    await claude.hears(isInterrupt);
    await session.idle();
    expect(await session.outcomes()).toEqual(["stopped"]);
  });

  test("of a turn ends the agents that it had begun", async () => {
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      claude.print(state("running"), toolUse("toolu_1", "Agent"), tasks(agent("a1")));
      const line = await claude.next(isInterrupt);
      // The turn ends at once, the agent a moment later.
      claude.print(controlAnswer(line, {}), result([user], { terminal_reason: "aborted_tools", is_error: true }));
      claude.print(tasks(), state("idle"));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("spawn");
    await session.until("the agent", (events) => events.some(({ type }) => type === "holdfast.background"));
    await session.interrupt();
    await session.idle();
    expect([await session.outcomes(), newest().isGone]).toEqual([["stopped"], false]);
  });

  test("by archiving ends the process with all that it does", async () => {
    const { session, claude } = await working();
    expect((await session.call("POST", `/v1/sessions/${session.id}/archive`, {})).status).toBe(200);
    await claude.ended();
    await expect.poll(() => session.status()).toBe("idle");
  });

  test("by archiving counts for a server that finds the process later", async () => {
    const { session, claude } = await working();
    await it.stopServer();
    it.write("update sessions set archived_at = 1 where id = ?", session.id);
    await it.restart();
    await claude.ended();
    await expect.poll(() => session.status()).toBe("idle");
  });
});

describe("a task of the background", () => {
  const stop = (session: LocalSession, id: string) =>
    session.call("POST", `/v1/sessions/${session.id}/background/${id}/stop`, {});

  test("is listed by what it is, and can be stopped by itself", async () => {
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      claude.print(toolUse("toolu_m", "Monitor"), tasks(shell("m1"), shell("b1"), agent("a1")), began("m1", "toolu_m"));
      claude.print(result([user]));
      const line = await claude.next(isStopTask);
      claude.print(tasks(shell("b1"), agent("a1")), controlAnswer(line));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("go");
    await session.until("the result", (events) => events.some(({ type }) => type === "holdfast.turn_result"));
    const listed = await backgroundOf(session);
    expect(listed.map(({ id, kind }) => [id, kind])).toEqual([
      ["m1", "monitor"],
      ["b1", "shell"],
      ["a1", "agent"],
    ]);
    expect(listed[0]?.tool_use_id).toBe((await session.eventsOf("agent.tool_use"))[0]?.id);
    expect((await stop(session, "m1")).status).toBe(200);
    expect((await newest().hears(isStopTask)).request).toMatchObject({ task_id: "m1" });
    await expect.poll(async () => (await backgroundOf(session)).map(({ id }) => id)).toEqual(["b1", "a1"]);
    expect((await stop(session, "m1")).status).toBe(404);
  });
});
