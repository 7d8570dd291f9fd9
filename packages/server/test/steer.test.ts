import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import {
  answer,
  answering,
  begin,
  controlAnswer,
  echo,
  init,
  isInterrupt,
  lifecycle,
  result,
  stopped,
  text,
  toolResult,
  toolUse,
  wordsOf,
} from "./_claude-lines.ts";
import type { Line, LocalClaude } from "./_local-claude.ts";
import { endsOf, type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());
beforeEach(() => {
  it.sandboxes.stage.script = answering;
});

const said = async (session: LocalSession) =>
  (await session.eventsOf("agent.message")).map(({ content }) => content[0]?.text);
const results = async (session: LocalSession) =>
  (await session.eventsOf("holdfast.turn_result")).map(({ outcome }) => outcome);
const states = async (session: LocalSession, id: string) =>
  (await session.eventsOf("holdfast.message")).filter((event) => event.message_id === id).map(({ state }) => state);
const started = (session: LocalSession) =>
  session.until("its start", (events) => events.some(({ type }) => type === "holdfast.initialized"));

/** As 2.1.330 does it: a line with priority ends an answer that streams, not a tool that runs. */
async function steerable(claude: LocalClaude, { tool = false } = {}): Promise<{ first: Line; second: Line }> {
  const first = await claude.nextUser();
  begin(claude, first);
  claude.print(tool ? toolUse("toolu_long") : text("half an answ", { aborted: true }));
  const second = await claude.nextUser();
  claude.print(lifecycle(second, "queued"));
  if (tool) {
    const asked = await claude.next(isInterrupt);
    claude.print(controlAnswer(asked, { still_queued: [second.uuid] }));
  }
  return { first, second };
}

test("a message that is to run now ends the answer that streams, and runs at once", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const { first, second } = await steerable(claude);
    claude.print(result([first], { terminal_reason: "aborted_streaming" }), lifecycle(first, "cancelled"));
    answer(claude, second);
    await answering(claude);
  };
  const session = await it.session();
  await session.send("talk");
  await started(session);
  const waits = await session.send("later");
  const urgent = await session.send("urgent", { delivery: "now" });
  const events = await session.idle(2);
  expect(await said(session)).toEqual(["half an answ", "You said: urgent", "You said: later"]);
  expect(await results(session)).toEqual(["stopped", "completed", "completed"]);
  expect(await states(session, urgent)).toEqual(["steered"]);
  expect(await states(session, waits)).toEqual(["started"]);
  // Between the two it never was idle.
  const kinds = events.map(({ type }) => type);
  const firstEnd = kinds.indexOf("holdfast.turn_result");
  const secondEnd = kinds.indexOf("holdfast.turn_result", firstEnd + 1);
  expect(kinds.slice(firstEnd, secondEnd)).not.toContain("session.status_idle");
  const [claude] = it.sandboxes.stage.started.slice(-1);
  expect(claude?.heard.filter(({ type }) => type === "user").map((line) => [wordsOf(line), line.priority])).toEqual([
    ["talk", undefined],
    ["urgent", "now"],
    ["later", undefined],
  ]);
});

test("a tool that runs is interrupted for it", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const { first, second } = await steerable(claude, { tool: true });
    claude.print(stopped([first], { terminal_reason: "aborted_tools" }));
    answer(claude, second);
    await answering(claude);
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  await session.send("urgent", { delivery: "now" });
  await session.idle();
  expect(await results(session)).toEqual(["stopped", "completed"]);
  expect(await said(session)).toEqual(["You said: urgent"]);
  expect(await session.outcomes()).toEqual(["completed"]);
});

test("one result may end both: it was folded into the turn", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const first = await claude.nextUser();
    begin(claude, first);
    const second = await claude.nextUser();
    claude.print(lifecycle(second, "queued"), lifecycle(second, "started"));
    claude.print(text("both seen"), result([first, second]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("one");
  await started(session);
  await session.send("two", { delivery: "now" });
  await session.idle();
  await session.send("three");
  await session.idle(2);
  expect(await said(session)).toEqual(["both seen", "You said: three"]);
  expect(it.rows("select distinct state from messages where session_id = ?", session.id)).toEqual([{ state: "done" }]);
});

test("the interrupt that made way for it hits it: it runs again", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const { first, second } = await steerable(claude, { tool: true });
    // The tool had ended by itself just before.
    claude.print(lifecycle(second, "started"), stopped([first, second], { terminal_reason: "aborted_tools" }));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  const urgent = await session.send("urgent", { delivery: "now" });
  await session.until("its answer", (events) => events.some(({ type }) => type === "agent.message"));
  expect(await said(session)).toEqual(["You said: urgent"]);
  expect(await states(session, urgent)).toEqual(["steered", "started"]);
});

test("a process that has to be killed for it: it runs in the next one", async () => {
  it.sandboxes.stage.script = async (claude) => {
    it.sandboxes.stage.script = answering;
    const first = await claude.nextUser();
    begin(claude, first);
    // Hears nothing any more.
    await claude.ended();
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  await session.send("urgent", { delivery: "now" });
  await session.idle();
  expect(await said(session)).toEqual(["You said: urgent"]);
  expect(await session.outcomes()).toEqual(["completed"]);
  expect(it.sandboxes.stage.started.at(-1)?.isResumed).toBe(true);
});

test.each(["begun", "not begun"])(
  "a signal that was meant for the turn before it hits it, %s: it runs again",
  async (how) => {
    it.sandboxes.stage.script = async (claude) => {
      it.sandboxes.stage.script = answering;
      const first = await claude.nextUser();
      begin(claude, first);
      const second = await claude.nextUser();
      await claude.next(({ type }) => type === "signal");
      claude.print(stopped([first]));
      if (how === "begun") claude.print(lifecycle(second, "started"), init(claude));
      await claude.exit(0);
    };
    const session = await it.session();
    await session.send("work");
    await started(session);
    await session.send("urgent", { delivery: "now" });
    await session.until("its end", (events) => endsOf(events).at(-1)?.holdfast?.outcome === "completed");
    expect(await said(session)).toEqual(["You said: urgent"]);
    expect(await results(session)).toEqual(["stopped", "completed"]);
    expect(await session.eventsOf("session.error")).toEqual([]);
    expect(it.rows("select distinct state from messages where session_id = ?", session.id)).toEqual([
      { state: "done" },
    ]);
  },
);

const sent = (claude: LocalClaude | undefined) =>
  (claude?.heard ?? []).filter(({ type }) => type === "user").map((line) => wordsOf(line));

/** Runs a command for the message. */
function work(claude: LocalClaude, user: Line): void {
  claude.print(lifecycle(user, "started"), init(claude), echo(user), text(`at ${wordsOf(user)}`));
  claude.print(toolUse(`toolu_${wordsOf(user)}`), toolResult(`toolu_${wordsOf(user)}`, "ran"));
}

test("the next one that is to run now ends it: what it has begun is not begun again", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const first = await claude.nextUser();
    begin(claude, first);
    const second = await claude.nextUser();
    claude.print(lifecycle(second, "queued"), stopped([first]));
    work(claude, second);
    const third = await claude.nextUser();
    claude.print(lifecycle(third, "queued"), result([second], { terminal_reason: "aborted_tools" }));
    answer(claude, third);
    await answering(claude);
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  const second = await session.send("second", { delivery: "now" });
  await session.until("its command", (events) => events.some(({ type }) => type === "agent.tool_result"));
  await session.send("third", { delivery: "now" });
  await session.idle();
  await session.send("after");
  await session.idle(2);
  expect(sent(it.sandboxes.stage.started.at(-1))).toEqual(["work", "second", "third", "after"]);
  expect(await results(session)).toEqual(["stopped", "stopped", "completed", "completed"]);
  expect(await states(session, second)).toEqual(["steered"]);
  expect(await session.outcomes()).toEqual(["completed", "completed"]);
});

test("two in a row, the first of them not answered yet: none of them ends the other for ever", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const first = await claude.nextUser();
    begin(claude, first);
    let running = first;
    for (;;) {
      const line = await claude.next();
      if (line.type === "end" || line.type === "signal") return await claude.exit(0);
      if (isInterrupt(line)) claude.print(controlAnswer(line, { still_queued: [] }));
      if (line.type !== "user") continue;
      claude.print(stopped([running]), lifecycle(running, "cancelled"));
      running = line;
      begin(claude, line);
      // The third one of them runs to its end.
      if (wordsOf(line) === "third") claude.print(text("done"), result([line]));
    }
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  await session.send("second", { delivery: "now" });
  await expect.poll(() => sent(it.sandboxes.stage.started.at(-1))).toHaveLength(2);
  await session.send("third", { delivery: "now" });
  await session.idle();
  expect(sent(it.sandboxes.stage.started.at(-1))).toEqual(["work", "second", "third"]);
  expect(it.rows("select distinct state from messages where session_id = ?", session.id)).toEqual([{ state: "done" }]);
});

test("one after the other, each of them with a process that has to be ended for it: none is lost", async () => {
  const all = ["work", "second", "third", "fourth", "fifth"];
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    if (wordsOf(user) === "fifth") {
      answer(claude, user);
      return await answering(claude);
    }
    begin(claude, user);
    await claude.next(({ type }) => type === "signal");
    await claude.exit(0);
  };
  const before = it.sandboxes.stage.started.length;
  const session = await it.session();
  for (const [at, words] of all.entries()) {
    await session.send(words, at === 0 ? {} : { delivery: "now" });
    const told = () => it.sandboxes.stage.started[before + at]?.heard.some(({ type }) => type === "user");
    await expect.poll(told, { timeout: 15_000 }).toBe(true);
  }
  await session.idle();
  expect(await session.outcomes()).toEqual(["completed"]);
  expect(await said(session)).toEqual(["You said: fifth"]);
  expect(await session.eventsOf("session.error")).toEqual([]);
}, 60_000);

test("the interrupt that made way for it hits it when it has run a command: that is not run again", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const { first, second } = await steerable(claude, { tool: true });
    claude.print(toolResult("toolu_long", "just before"), result([first]));
    work(claude, second);
    claude.print(stopped([second], { terminal_reason: "aborted_tools" }));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  await session.send("urgent", { delivery: "now" });
  await session.idle();
  await session.send("after");
  await session.idle(2);
  expect(sent(it.sandboxes.stage.started.at(-1))).toEqual(["work", "urgent", "after"]);
  expect(await session.outcomes()).toEqual(["stopped", "completed"]);
});

test("a signal hits it when it has run a command: that is not run again, and its end is said", async () => {
  it.sandboxes.stage.script = async (claude) => {
    it.sandboxes.stage.script = answering;
    const first = await claude.nextUser();
    begin(claude, first);
    const second = await claude.nextUser();
    await claude.next(({ type }) => type === "signal");
    claude.print(stopped([first]));
    work(claude, second);
    await claude.exit(0);
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  await session.send("urgent", { delivery: "now" });
  await session.idle();
  await session.send("after");
  await session.idle(2);
  const all = it.sandboxes.stage.started.slice(-2).flatMap(sent);
  expect(all).toEqual(["work", "urgent", "after"]);
  expect(await session.outcomes()).toEqual(["interrupted", "completed"]);
  expect(await session.eventsOf("session.error")).toHaveLength(1);
});

test("what a guest that is slow has not told yet counts: a command that ran is not run again", async () => {
  const go = Promise.withResolvers<void>();
  it.sandboxes.stage.script = async (claude) => {
    it.sandboxes.stage.script = answering;
    const first = await claude.nextUser();
    begin(claude, first);
    const second = await claude.nextUser();
    it.sandboxes.last.freezeGuest();
    claude.print(lifecycle(second, "queued"), stopped([first]));
    work(claude, second);
    go.resolve();
    await claude.ended();
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  await session.send("urgent", { delivery: "now" });
  await go.promise;
  // Given up; what it said is in its pipe still.
  await expect
    .poll(() => it.rows("select ending_at from processes where session_id = ? and ending_at is not null", session.id), {
      timeout: 10_000,
    })
    .toHaveLength(1);
  it.sandboxes.last.thawGuest();
  await session.idle();
  await session.send("after");
  await session.idle(2);
  const all = it.sandboxes.stage.started.slice(-2).flatMap(sent);
  expect(all).toEqual(["work", "urgent", "after"]);
});

test("while the turn before it is being stopped it waits: the interrupt is not meant for it", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const first = await claude.nextUser();
    begin(claude, first);
    const asked = await claude.next(isInterrupt);
    claude.print(controlAnswer(asked, { still_queued: [] }), stopped([first]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("work");
  await started(session);
  const content = [{ type: "text", text: "urgent" }];
  await session.post({ type: "user.interrupt" }, { type: "user.message", content, holdfast: { delivery: "now" } });
  await session.until("its answer", (events) => events.some(({ type }) => type === "agent.message"));
  const heard = it.sandboxes.stage.started.at(-1)?.heard.filter((line) => line.type === "user" || isInterrupt(line));
  expect(heard?.map(({ type }) => type)).toEqual(["user", "control_request", "user"]);
});

test("where nothing runs it is only the next one, before all that wait", async () => {
  const go = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  it.sandboxes.before.permissions = async () => {
    reached.resolve();
    await go.promise;
  };
  const session = await it.session();
  await session.send("first");
  await reached.promise;
  await session.send("urgent", { delivery: "now" });
  it.sandboxes.before.permissions = () => Promise.resolve();
  go.resolve();
  await session.idle(2);
  expect(await said(session)).toEqual(["You said: urgent", "You said: first"]);
});

test("a message that waits can be told to run now", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const { first, second } = await steerable(claude);
    claude.print(result([first], { terminal_reason: "aborted_streaming" }));
    answer(claude, second);
    await answering(claude);
  };
  const session = await it.session();
  await session.send("talk");
  await started(session);
  const one = await session.send("one");
  const two = await session.send("two");
  const path = `/v1/sessions/${session.id}/messages/${two}`;
  expect(await session.call("POST", path, { delivery: "now" })).toMatchObject({ status: 200 });
  await session.idle(2);
  expect(await said(session)).toEqual(["half an answ", "You said: two", "You said: one"]);
  expect(await states(session, one)).toEqual(["started"]);
});

test("an older Claude Code does not name the messages: the results come in their order", async () => {
  it.sandboxes.stage.script = async (claude) => {
    const first = await claude.nextUser();
    claude.print(init(claude), { ...first, isReplay: true });
    const second = await claude.nextUser();
    claude.print(result([], { terminal_reason: "aborted_streaming" }), init(claude), { ...second, isReplay: true });
    claude.print(text("urgent answer"), result([]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("talk");
  await started(session);
  await session.send("urgent", { delivery: "now" });
  await session.idle();
  expect(await results(session)).toEqual(["stopped", "completed"]);
  expect(await session.status()).toBe("idle");
  await session.send("more");
  await session.idle(2);
});
