import { inBackground } from "@holdfast/std";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answering, begin, isInterrupt, result, stopped, text, toolResult } from "./_claude-lines.ts";
import type { ClaudeScript, Line, LocalClaude } from "./_local-claude.ts";
import { type LocalSystem, localSystem } from "./_local-server.ts";
import {
  answersTo,
  answerTo,
  ask,
  asked,
  detailOf,
  openOf,
  proposals,
  type Question,
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

/** A turn that asks once; `then` gets the answer. */
function asking(
  command: string,
  more: Line = {},
  then: (claude: LocalClaude, user: Line, question: Question, answer: Line) => void = (claude, user, { toolId }) =>
    claude.print(toolResult(toolId, "ran"), text("Done."), result([user])),
): ClaudeScript {
  return async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    const question = ask(claude, command, more);
    then(claude, user, question, await answerTo(claude, question));
    await answering(claude);
  };
}

const withProposals = { permission_suggestions: proposals(), description: "Touch", blocked_path: "/mnt/workspace/one" };

describe("a question", () => {
  test("is an event with all that a device needs, and its answer another", async () => {
    const answers: Line[] = [];
    it.sandboxes.stage.script = asking("touch one", withProposals, (claude, user, { toolId }, answer) => {
      answers.push(answer);
      claude.print(toolResult(toolId, "ran"), result([user]));
    });
    const session = await it.session();
    await session.send("go");
    const question = await asked(session);
    expect(question).toMatchObject({
      kind: "tool",
      tool_name: "Bash",
      title: "Claude wants to run a command",
      description: "Touch",
      input: { command: "touch one", description: "test" },
      reason: null,
      blocked_path: "/mnt/workspace/one",
      can_allow: true,
      suggestions: [
        {
          id: "always-1",
          label: "Always allow Bash(touch one *) in this workspace",
          rules: ["Bash(touch one *)"],
        },
        { id: "always-2", label: "Accept all edits of files in this session", rules: [], mode: "acceptEdits" },
      ],
    });
    const [call] = await session.eventsOf("agent.tool_use");
    expect(question.tool_use_id).toBe(call?.id);
    await say(session, question);
    const events = await session.idle();
    expect(resolvedOf(events)).toMatchObject([
      { tool_use_id: call?.id, outcome: "allowed", answered_by: 'the key "first"' },
    ]);
    expect(answers).toEqual([{ behavior: "allow", updatedInput: { command: "touch one", description: "test" } }]);
    const order = events.map(({ type }) => type);
    expect(order.indexOf("holdfast.permission_request")).toBe(order.indexOf("session.status_idle") - 1);
    expect(order.indexOf("holdfast.permission_resolved")).toBe(order.lastIndexOf("session.status_running") - 1);
  });

  test("is answered once, however many devices try at the same time", async () => {
    it.sandboxes.stage.script = asking("touch one");
    const session = await it.session();
    await session.send("go");
    const question = await asked(session);
    const tries = await Promise.all(
      Array.from({ length: 8 }, (_, index) => reply(session, question, { result: index % 2 === 0 ? "allow" : "deny" })),
    );
    expect(tries.filter(({ status }) => status === 200)).toHaveLength(1);
    const late = tries.filter(({ status }) => status === 409);
    expect(late).toHaveLength(7);
    for (const refused of late) expect(detailOf(refused)).toMatch(/was (allowed|denied) by the key \\"first\\" at 20/);
    const events = await session.idle();
    expect(resolvedOf(events)).toHaveLength(1);
    expect(events.filter(({ type }) => type === "user.tool_confirmation")).toHaveLength(1);
  });

  test("that was denied with a message, and one that stops the turn", async () => {
    const answers: Line[] = [];
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      const first = ask(claude, "touch one");
      answers.push(await answerTo(claude, first));
      const second = ask(claude, "touch two");
      answers.push(await answerTo(claude, second));
      claude.print(stopped([user], { terminal_reason: "aborted_tools" }));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("go");
    await say(session, await asked(session), { result: "deny", deny_message: "Not today" });
    await say(session, await asked(session, 2), { result: "deny", holdfast: { stop: true } });
    const events = await session.idle();
    expect(answers).toEqual([
      { behavior: "deny", message: "Not today" },
      { behavior: "deny", message: expect.stringContaining("refused"), interrupt: true },
    ]);
    expect(resolvedOf(events)).toMatchObject([
      { outcome: "denied", message: "Not today" },
      { outcome: "denied", stopped: true },
    ]);
    expect(await session.outcomes()).toEqual(["stopped"]);
  });

  test("several at once: the session goes on when the last one is answered", async () => {
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      const both = [ask(claude, "touch one"), ask(claude, "touch two")];
      for (const question of both) await answerTo(claude, question);
      claude.print(result([user]));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("go");
    const events = await session.until("two questions", (all) => requestsOf(all).length === 2);
    const [one, two] = requestsOf(events);
    if (one === undefined || two === undefined) throw new Error("two were asked");
    const last = events.findLast((event) => event.type === "session.status_idle");
    expect(last).toMatchObject({ stop_reason: { event_ids: [one.tool_use_id, two.tool_use_id] } });
    await say(session, two);
    expect(await session.status()).toBe("idle");
    await say(session, one);
    await session.idle();
    expect(resolvedOf(await session.events()).map((event) => event.tool_use_id)).toEqual([
      two.tool_use_id,
      one.tool_use_id,
    ]);
  });
});

describe("what is allowed always", () => {
  test("is the rule that was shown: for this process, for every later one of the workspace, until it is deleted", async () => {
    const answers: Line[] = [];
    it.sandboxes.stage.script = asking("touch one", withProposals, (claude, user, _question, answer) => {
      answers.push(answer);
      claude.print(result([user]));
    });
    const session = await it.session("always");
    await session.send("go");
    await say(session, await asked(session), { holdfast: { remember: "always-1" } });
    const events = await session.idle();
    expect(answers[0]?.updatedPermissions).toEqual([
      {
        type: "addRules",
        rules: [{ toolName: "Bash", ruleContent: "touch one *" }],
        behavior: "allow",
        destination: "session",
      },
    ]);
    expect(resolvedOf(events)[0]).toMatchObject({ outcome: "allowed", rule: "Bash(touch one *)" });

    const other = await it.session("always");
    const started = it.sandboxes.stage.started.length;
    it.sandboxes.stage.script = answering;
    await other.send("hello");
    await other.idle();
    expect(settingsOf(await it.sandboxes.stage.claude(started))).toMatchObject({ allow: ["Bash(touch one *)"] });

    const workspace = await workspaceId(session.call, "always");
    const path = `/v1/workspaces/${workspace}/permission_rules`;
    const { body } = await session.call("GET", path);
    expect(body.data).toMatchObject([
      { rule: "Bash(touch one *)", session_id: session.id, workspace_id: workspace, created_by: 'the key "first"' },
    ]);
    const [{ id } = { id: "" }] = body.data as { id: string }[];
    expect((await session.call("DELETE", `${path}/${id}`)).status).toBe(200);
    expect((await session.call("DELETE", `${path}/${id}`)).status).toBe(404);
    expect((await session.call("GET", path)).body.data).toEqual([]);
    // The first session's process had the rule: its next turn is another's.
    await session.send("again");
    await session.idle(2);
    const renewed = await it.sandboxes.stage.claude(started + 1);
    expect(renewed.isResumed).toBe(true);
    expect(settingsOf(renewed)).toMatchObject({ allow: [] });
    const third = await it.session("always");
    await third.send("hello");
    await third.idle();
    expect(settingsOf(await it.sandboxes.stage.claude(started + 2))).toMatchObject({ allow: [] });
  });

  test("counts for a process that was started before, and is said in its log", async () => {
    const workspace = "before";
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      await gates.shift()?.promise;
      const question = ask(claude, "touch one", withProposals);
      expect(await answerTo(claude, question)).toMatchObject({ behavior: "allow" });
      claude.print(result([user]));
      await answering(claude);
    };
    const [first, second] = [await it.session(workspace), await it.session(workspace)];
    const [gate, later] = [...gates];
    await first.send("go");
    await first.until("its start", (events) => events.some(({ type }) => type === "holdfast.initialized"));
    await second.send("go");
    await second.until("its start", (events) => events.some(({ type }) => type === "holdfast.initialized"));
    gate?.resolve();
    await say(first, await asked(first), { holdfast: { remember: "always-1" } });
    later?.resolve();
    const events = await second.idle();
    expect(requestsOf(events)).toEqual([]);
    expect(resolvedOf(events)).toMatchObject([{ outcome: "allowed", rule: "Bash(touch one *)" }]);
    expect(resolvedOf(events)[0]?.answered_by).toBeUndefined();
  });

  test("under an agent's always_ask it is exactly this command, or the whole of a harmless tool", async () => {
    const byPolicy = { decision_reason_type: "rule", decision_reason_rule_source: "flagSettings" };
    const answers: Line[] = [];
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      const command = ask(claude, "npm run build (all)", byPolicy);
      answers.push(await answerTo(claude, command));
      answers.push(await answerTo(claude, ask(claude, "npm run build (all)", byPolicy)));
      const write = { ...byPolicy, tool_name: "Write", input: { file_path: "/mnt/workspace/a", content: "x" } };
      answers.push(await answerTo(claude, ask(claude, "", write)));
      claude.print(result([user]));
      await answering(claude);
    };
    const base = await it.session();
    const made = await base.call("POST", "/v1/agents", {
      name: "asks",
      model: "claude-opus-5-5",
      tools: [{ type: "agent_toolset_20260401", default_config: { permission_policy: { type: "always_ask" } } }],
    });
    const session = await it.session("policy", made.body.id as string);
    const started = it.sandboxes.stage.started.length;
    await session.send("go");
    const first = await asked(session);
    expect(first.reason).toBe("The agent asks before each of these calls");
    expect(first.suggestions).toMatchObject([{ rules: ["Bash(npm run build \\(all\\))"] }]);
    await say(session, first, { holdfast: { remember: "always-1" } });
    // The second one is not asked: the next question is about Write.
    const write = await asked(session, 2);
    expect(write).toMatchObject({
      title: "Claude wants to write /mnt/workspace/a",
      suggestions: [{ rules: ["Write"] }],
    });
    await say(session, write, { holdfast: { remember: "always-1" } });
    await session.idle();
    expect(answers).toHaveLength(3);
    expect(settingsOf(await it.sandboxes.stage.claude(started)).ask).toContain("Write");
    it.sandboxes.stage.script = answering;
    const next = await it.session("policy", made.body.id as string);
    await next.send("hello");
    await next.idle();
    const settings = settingsOf(await it.sandboxes.stage.claude(started + 1));
    expect(settings.ask).toContain("Bash");
    expect(settings.ask).not.toContain("Write");
    expect(settings.allow).toEqual(["Bash(npm run build \\(all\\))", "Write"]);
  });

  test("a mode is the session's, also of its next process", async () => {
    it.sandboxes.stage.script = asking("touch one", withProposals, (claude, user) => {
      claude.print(result([user]));
      inBackground(claude.exit(0), (error) => expect.unreachable(String(error)));
    });
    const session = await it.session();
    const started = it.sandboxes.stage.started.length;
    await session.send("go");
    await say(session, await asked(session), { holdfast: { remember: "always-2" } });
    expect(resolvedOf(await session.idle())[0]).toMatchObject({ outcome: "allowed", mode: "acceptEdits" });
    it.sandboxes.stage.script = answering;
    await (await it.sandboxes.stage.claude(started)).ended();
    await session.send("again");
    await session.idle(2);
    const { argv } = await it.sandboxes.stage.claude(started + 1);
    expect(argv[argv.indexOf("--permission-mode") + 1]).toBe("acceptEdits");
  });

  test.each([
    ["a dangerous command", { decision_reason_type: "safetyCheck", suppress_always_allow_rule: true }],
    ["a call that is to be looked at each time", { default_to_no: true, permission_suggestions: proposals() }],
    ["proposals that nobody can read", { permission_suggestions: proposals("x".repeat(600)).slice(0, 1) }],
    ["a rule that forbids", { permission_suggestions: [{ ...proposals()[0], behavior: "deny" }] }],
  ])("nothing is offered for %s", async (_what, more) => {
    it.sandboxes.stage.script = asking("rm -rf /", more);
    const session = await it.session();
    await session.send("go");
    const question = await asked(session);
    expect(question.suggestions).toEqual([]);
    const refused = await reply(session, question, { holdfast: { remember: "always-1" } });
    expect(refused.status).toBe(400);
    expect(detailOf(refused)).toContain("events.0.holdfast.remember");
    await say(session, question, { result: "deny" });
    await session.idle();
  });
});

describe("a question with choices", () => {
  const questions = [
    {
      question: "Which database?",
      header: "Database",
      multiSelect: false,
      options: [
        { label: "Postgres", description: "Relational" },
        { label: "SQLite", description: "Embedded" },
      ],
    },
    {
      question: "Which features?",
      header: "Features",
      multiSelect: true,
      options: [{ label: "Auth", description: "" }],
    },
  ];
  const more = { tool_name: "AskUserQuestion", input: { questions }, requires_user_interaction: true };

  test("takes exactly one answer to each, or several where it says so", async () => {
    const answers: Line[] = [];
    it.sandboxes.stage.script = asking("", more, (claude, user, _question, answer) => {
      answers.push(answer);
      claude.print(result([user]));
    });
    const session = await it.session();
    await session.send("go");
    const question = await asked(session);
    expect(question).toMatchObject({
      kind: "question",
      title: "Claude has a question",
      suggestions: [],
      questions: [
        { question: "Which database?", header: "Database", multi_select: false, options: questions[0]?.options },
        { question: "Which features?", multi_select: true },
      ],
    });
    const refusals: [Record<string, unknown> | undefined, string][] = [
      [undefined, "is needed"],
      [{ answers: { "Which database?": "SQLite" } }, "has no answer"],
      [{ answers: { "Which database?": "  ", "Which features?": "Auth" } }, "has no answer"],
      [{ answers: { "Which database?": ["SQLite", "Postgres"], "Which features?": "Auth" } }, "takes one answer"],
      [{ answers: { "Which database?": "SQLite", "Which features?": "Auth", "And else?": "x" } }, "was not asked"],
      [{ answers: { "Which database?": "SQLite", "Which features?": "Auth" }, mode: "default" }, "belongs to an"],
    ];
    for (const [holdfast, why] of refusals) {
      const refused = await reply(session, question, holdfast === undefined ? {} : { holdfast });
      expect(refused.status, why).toBe(400);
      expect(detailOf(refused)).toContain(why);
    }
    const given = { "Which database?": "One of my own", "Which features?": ["Auth", "Search, too"] };
    await say(session, question, { holdfast: { answers: given } });
    const events = await session.idle();
    const told = { "Which database?": "One of my own", "Which features?": "Auth, Search, too" };
    expect(answers).toEqual([{ behavior: "allow", updatedInput: { questions, answers: told } }]);
    expect(resolvedOf(events)).toMatchObject([{ outcome: "allowed", answers: told }]);
  });

  test("is declined", async () => {
    const answers: Line[] = [];
    it.sandboxes.stage.script = asking("", more, (claude, user, _question, answer) => {
      answers.push(answer);
      claude.print(result([user]));
    });
    const session = await it.session();
    await session.send("go");
    const question = await asked(session);
    await say(session, question, { result: "deny" });
    await session.idle();
    expect(answers).toEqual([{ behavior: "deny", message: expect.stringContaining("declined") }]);
  });
});

describe("a plan", () => {
  const plan = { tool_name: "ExitPlanMode", input: { plan: "# Plan\n\n1. Write", planFilePath: "/x" } };

  test.each([
    [undefined, undefined],
    ["default", [{ type: "setMode", mode: "default", destination: "session" }]],
    ["acceptEdits", [{ type: "setMode", mode: "acceptEdits", destination: "session" }]],
  ])("is approved with the mode %s", async (mode, updatedPermissions) => {
    const answers: Line[] = [];
    it.sandboxes.stage.script = asking("", plan, (claude, user, _question, answer) => {
      answers.push(answer);
      claude.print(result([user]));
    });
    const session = await it.session();
    await session.send("go");
    const question = await asked(session);
    expect(question).toMatchObject({ kind: "plan", plan: "# Plan\n\n1. Write", title: "Claude has made a plan" });
    await say(session, question, mode === undefined ? {} : { holdfast: { mode } });
    await session.idle();
    expect(answers[0]?.behavior).toBe("allow");
    expect(answers[0]?.updatedPermissions).toEqual(updatedPermissions);
  });

  test("that is refused is made anew; while it is made a change can only be denied", async () => {
    const answers: Line[] = [];
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      const change = { tool_name: "Write", input: { file_path: "/x" }, decision_reason_type: "mode" };
      answers.push(await answerTo(claude, ask(claude, "", { ...change, permission_suggestions: proposals() })));
      answers.push(await answerTo(claude, ask(claude, "", plan)));
      claude.print(result([user]));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("go");
    const change = await asked(session);
    expect(change).toMatchObject({ can_allow: false, suggestions: [], reason: expect.stringContaining("plan") });
    expect((await reply(session, change)).status).toBe(400);
    await say(session, change, { result: "deny" });
    const question = await asked(session, 2);
    expect((await reply(session, question, { result: "deny", holdfast: { mode: "default" } })).status).toBe(400);
    await say(session, question, { result: "deny", deny_message: "Shorter, please" });
    await session.idle();
    expect(answers[1]).toEqual({ behavior: "deny", message: "Shorter, please" });
  });
});

describe("a question ends without an answer", () => {
  test("when the turn is stopped", async () => {
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      const question = ask(claude, "touch one");
      await claude.next(isInterrupt);
      claude.print({ type: "control_cancel_request", request_id: question.requestId }, stopped([user]));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("go");
    const question = await asked(session);
    await session.interrupt();
    const events = await session.idle();
    expect(resolvedOf(events)).toMatchObject([{ outcome: "withdrawn", tool_use_id: question.tool_use_id }]);
    const late = await reply(session, question);
    expect(late.status).toBe(409);
    expect(detailOf(late)).toMatch(/no longer open since 20.*withdrew/);
    expect(await session.outcomes()).toEqual(["stopped"]);
  });

  test("when the turn ends all the same; Claude is told", async () => {
    const told: Line[] = [];
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      const question = ask(claude, "touch one");
      claude.print(result([user]));
      told.push(await answerTo(claude, question));
      await answering(claude);
    };
    const session = await it.session();
    await session.send("go");
    const events = await session.idle();
    expect(resolvedOf(events)).toMatchObject([{ outcome: "expired", message: expect.stringContaining("turn ended") }]);
    const order = events.map(({ type }) => type);
    expect(order.indexOf("holdfast.permission_resolved")).toBe(order.lastIndexOf("session.status_idle") - 1);
    await expect.poll(() => told).toMatchObject([{ behavior: "deny" }]);
    const [question] = requestsOf(events);
    if (question === undefined) throw new Error("nothing was asked");
    expect(detailOf(await reply(session, question))).toContain("turn ended before anybody answered");
  });

  test.each([
    ["its process ends", async (claude: LocalClaude) => claude.exit(1), "Claude Code ended"],
    ["its sandbox ends", async () => it.sandboxes.last.end(), "The sandbox ended"],
  ])("when %s", async (_what, end, why) => {
    it.sandboxes.stage.script = async (claude) => {
      const user = await claude.nextUser();
      begin(claude, user);
      ask(claude, "touch one");
      await claude.ended();
    };
    const session = await it.session();
    const started = it.sandboxes.stage.started.length;
    await session.send("go");
    const question = await asked(session);
    await end(await it.sandboxes.stage.claude(started));
    const events = await session.idle();
    expect(resolvedOf(events)).toMatchObject([{ outcome: "expired", message: expect.stringContaining(why) }]);
    expect(openOf(events)).toEqual([]);
    const late = await reply(session, question);
    expect(late.status).toBe(409);
    expect(detailOf(late)).toContain(why);
    it.sandboxes.stage.script = answering;
    await session.send("again");
    await session.idle(2);
  });
});

test("an answer that meets a lost connection reaches Claude once", async () => {
  const told: (() => Line[])[] = [];
  it.sandboxes.stage.script = async (claude) => {
    const user = await claude.nextUser();
    begin(claude, user);
    const question = ask(claude, "touch one");
    told.push(() => answersTo(claude, question));
    await answerTo(claude, question);
    claude.print(result([user]));
    await answering(claude);
  };
  const session = await it.session();
  await session.send("go");
  const question = await asked(session);
  it.sandboxes.last.cutLinks();
  await say(session, question);
  it.sandboxes.last.cutLinks();
  await session.idle();
  await expect
    .poll(() => it.rows("select state from permissions where session_id = ?", session.id))
    .toEqual([{ state: "delivered" }]);
  expect(told[0]?.()).toHaveLength(1);
});

/** `permissions` of `--settings`. */
function settingsOf({ argv }: LocalClaude): { allow: string[]; ask?: string[] } {
  const settings = JSON.parse(argv[argv.indexOf("--settings") + 1] ?? "{}") as { permissions: { allow: string[] } };
  return settings.permissions;
}

async function workspaceId(
  call: (method: string, path: string) => Promise<{ body: Record<string, unknown> }>,
  name: string,
) {
  const { body } = await call("GET", "/v1/workspaces?limit=100");
  return (body.data as { id: string; name: string }[]).find((each) => each.name === name)?.id ?? "";
}
