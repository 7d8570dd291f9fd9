import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Line, LocalClaude } from "./_local-claude.ts";
import { type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";
import { asked, type Reply, type Requested, requestsOf, resolvedOf, say } from "./_questions.ts";
import { capture, replaying } from "./_replay.ts";

/** Questions as the real CLI asked them, answered as its host did then. */
let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem({ sandbox: { permissionMode: "default" } });
});
afterAll(() => it?.[Symbol.asyncDispose]());

/** Plays the capture, answering each question with what `answer` says; gives what was heard on its stdin. */
async function play(name: string, answer: (question: Requested, index: number) => Reply | undefined) {
  it.sandboxes.stage.script = replaying(name);
  const started = it.sandboxes.stage.started.length;
  const session = await it.session();
  const [words = "Go."] = capture(name).messages;
  await session.send(words);
  const questions: Requested[] = [];
  for (const index of capture(name)
    .steps.filter(({ text }) => text.includes('"can_use_tool"'))
    .keys()) {
    const question = await asked(session, index + 1);
    questions.push(question);
    const reply = answer(question, index);
    if (reply === undefined) break;
    await say(session, question, reply);
  }
  const claude = await it.sandboxes.stage.claude(started);
  return { session, questions, claude };
}

const answersOf = (claude: LocalClaude): Line[] =>
  claude.heard
    .filter(({ type }) => type === "control_response")
    .map((line) => (line.response as { response: Line }).response);

/** What the capture's host answered. */
const answersThen = (name: string): Line[] =>
  capture(name)
    .stdin.filter(({ type }) => type === "control_response")
    .map((line) => (line.response as { response: Line }).response);

async function settled(session: LocalSession) {
  const events = await session.idle();
  expect(requestsOf(events).map((event) => event.tool_use_id)).toEqual(
    resolvedOf(events).map((event) => event.tool_use_id),
  );
  expect(events.filter((event) => event.type === "holdfast.other")).toEqual([]);
  return events;
}

test.each<[string, Reply, string]>([
  ["permission-allow", {}, "completed"],
  ["permission-slow-answer", {}, "completed"],
  ["permission-set-mode-suggestion", { holdfast: { remember: "always-1" } }, "completed"],
  ["permission-deny", { result: "deny", deny_message: "Please do not create files." }, "completed"],
  ["permission-compound", { result: "deny", deny_message: "User denied this." }, "completed"],
  ["permission-outside-cwd", {}, "completed"],
  ["subagent-permission", {}, "completed"],
  ["exit-plan-approve", {}, "completed"],
  ["exit-plan-approve-mode", { holdfast: { mode: "acceptEdits" } }, "completed"],
  ["plan-file", {}, "completed"],
])("%s", async (name, reply, outcome) => {
  const { session, claude, questions } = await play(name, (question) => ({
    ...reply,
    ...(question.kind === "tool" && name.startsWith("exit-plan") ? { holdfast: {} } : {}),
  }));
  await settled(session);
  expect(await session.outcomes()).toEqual([outcome]);
  expect(questions.length).toBe(answersThen(name).length);
  for (const [index, then] of answersThen(name).entries()) {
    const now = answersOf(claude)[index];
    expect(now?.behavior).toBe(then.behavior);
    if (then.updatedPermissions !== undefined) expect(now?.updatedPermissions).toEqual(then.updatedPermissions);
    if (then.message !== undefined) expect(now?.message).toBe(then.message);
  }
});

test("permission-always: of all that is proposed only what was taken is given back", async () => {
  const { session, claude, questions } = await play("permission-always", () => ({
    holdfast: { remember: "always-1" },
  }));
  await settled(session);
  expect(questions[0]?.suggestions.map(({ rules }) => rules)).toEqual([["Bash(touch one *)"], []]);
  expect(answersOf(claude)[0]?.updatedPermissions).toEqual([
    {
      type: "addRules",
      rules: [{ toolName: "Bash", ruleContent: "touch one *" }],
      behavior: "allow",
      destination: "session",
    },
  ]);
});

test("permission-deny-interrupt: denied, and the turn stopped", async () => {
  const { session, claude } = await play("permission-deny-interrupt", () => ({
    result: "deny",
    holdfast: { stop: true },
  }));
  await settled(session);
  expect(await session.outcomes()).toEqual(["stopped"]);
  expect(answersOf(claude)[0]).toMatchObject({ behavior: "deny", interrupt: true });
});

test("permission-interrupt-pending: withdrawn by the stop", async () => {
  const { session } = await play("permission-interrupt-pending", () => undefined);
  await session.interrupt();
  expect(resolvedOf(await settled(session))).toMatchObject([{ outcome: "withdrawn" }]);
  expect(await session.outcomes()).toEqual(["stopped"]);
});

test.each(["ask-user-question", "v2.1.197/ask-user-question"])("%s", async (name) => {
  const { session, claude, questions } = await play(name, () => ({
    holdfast: { answers: { "Which database?": "Postgres", "Which features?": ["Auth", "Search"] } },
  }));
  await settled(session);
  expect(questions[0]).toMatchObject({ kind: "question", suggestions: [], questions: [{}, { multi_select: true }] });
  expect(answersOf(claude)[0]).toEqual(answersThen(name)[0]);
});

test("ask-user-question-bypass: asked in every mode", async () => {
  const { session, claude } = await play("ask-user-question-bypass", () => ({
    holdfast: { answers: { "Which database?": "SQLite" } },
  }));
  await settled(session);
  expect(answersOf(claude)[0]?.behavior).toBe("allow");
});

test("v2.1.197/ask-user-question-declined", async () => {
  const { session, claude } = await play("v2.1.197/ask-user-question-declined", () => ({ result: "deny" }));
  await settled(session);
  expect(answersOf(claude)[0]?.behavior).toBe("deny");
});

test("mode-plan: a change is asked for, yet can only be denied", async () => {
  const { session, questions } = await play("mode-plan", ({ can_allow: can }) => (can ? {} : { result: "deny" }));
  await settled(session);
  expect(questions.map(({ kind, can_allow: can, tool_name: name }) => [kind, can, name])).toEqual([
    ["tool", false, "Write"],
    ["plan", true, "ExitPlanMode"],
    ["tool", true, "Write"],
  ]);
});

test("plan-file: the plan is what the file says", async () => {
  const { questions } = await play("plan-file", () => ({}));
  expect(questions[0]).toMatchObject({ kind: "plan", plan: "# Plan\n\n1. Write the file\n2. Run it\n" });
});

test("dangerous-with-prompt-tool: asked also where everything is allowed; never for always", async () => {
  const { session, questions } = await play("dangerous-with-prompt-tool", () => ({
    result: "deny",
    deny_message: "No.",
  }));
  await settled(session);
  expect(questions).toHaveLength(2);
  for (const question of questions)
    expect(question).toMatchObject({ suggestions: [], reason: expect.stringContaining("Dangerous rm operation") });
});

test("subagent-permission: whose call it is", async () => {
  const { session, questions } = await play("subagent-permission", () => ({}));
  await settled(session);
  const [agent] = (await session.eventsOf("agent.tool_use")).filter(({ name }) => name === "Agent");
  expect(agent).toBeDefined();
  expect(questions[0]).toMatchObject({ title: "A subagent wants to run a command", parent_event_id: agent?.id });
});

describe("2.1.197", () => {
  test("permission-parallel: several are open at once", async () => {
    it.sandboxes.stage.script = replaying("v2.1.197/permission-parallel");
    const session = await it.session();
    await session.send("Go.");
    const count = capture("v2.1.197/permission-parallel").steps.filter(({ text }) => text.includes('"can_use_tool"'));
    for (let answered = 0; answered < count.length; answered++) {
      const question = await asked(session, answered + 1);
      await say(session, question);
    }
    await settled(session);
  });

  test("subagent-permission: asks before its call is shown", async () => {
    const { session, questions } = await play("v2.1.197/subagent-permission", () => ({}));
    await settled(session);
    const calls = await session.eventsOf("agent.tool_use");
    expect(calls.map(({ id }) => id)).toContain(questions[0]?.tool_use_id);
  });
});
