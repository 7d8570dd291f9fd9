import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Anthropic from "@anthropic-ai/sdk";
import type { EventOf, SessionEvent } from "@holdfast/protocol";
import { createTestKit, eventsOf, spokenText, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { holdfast } from "./_machine.ts";
import { terminal } from "./_pty.ts";

/** Questions of the real CLI: in its permission mode `default`, and under an agent that always asks. */
let kit: TestKit;
let home: string;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "holdfast-questions-"));
  kit = await createTestKit({
    saves: false,
    adjust: (name, options) =>
      name === "server"
        ? { ...options, sandbox: { ...(options.sandbox as object), permissionMode: "default" } }
        : options,
  });
});
afterAll(async () => {
  await kit?.[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
});

type Requested = EventOf<"holdfast.permission_request">;
const sdk = () => kit.account.client.beta;
const script = (turns: object[]) => `Please.\n\`\`\`holdfast-script\n${JSON.stringify(turns)}\n\`\`\``;
const use = (name: string, input: object) => ({ toolUse: { name, input } });
const bash = (command: string) => use("Bash", { command, description: "test" });
const userMessage = (text: string) => ({ type: "user.message" as const, content: [{ type: "text" as const, text }] });

async function begin(text: string, { workspace, agent = "agent_default" }: { workspace: string; agent?: string }) {
  const metadata = { "holdfast.workspace": workspace };
  const { id } = await sdk().sessions.create({ agent, environment_id: "env_default", metadata });
  await sdk().sessions.events.send(id, { events: [userMessage(text)] });
  return id;
}

/** Waits for something in the log. */
async function until(sessionId: string, matches: (events: SessionEvent[]) => boolean): Promise<SessionEvent[]> {
  let events: SessionEvent[] = [];
  const found = async () => {
    events = await kit.log(sessionId);
    return matches(events);
  };
  await expect.poll(found, { timeout: 60_000, interval: 50 }).toBe(true);
  return events;
}

async function asked(sessionId: string, times = 1): Promise<Requested> {
  const events = await until(sessionId, (all) => eventsOf(all, "holdfast.permission_request").length >= times);
  const question = eventsOf(events, "holdfast.permission_request").at(-1);
  if (question === undefined) throw new Error("nothing was asked");
  return question;
}

const ended = (sessionId: string, times = 1) =>
  until(
    sessionId,
    (all) =>
      eventsOf(all, "session.status_idle").filter(({ stop_reason }) => stop_reason.type !== "requires_action").length >=
      times,
  );

const answer = (sessionId: string, { tool_use_id }: Requested, result: "allow" | "deny", more: object = {}) =>
  sdk().sessions.events.send(sessionId, {
    events: [{ type: "user.tool_confirmation", tool_use_id, result, ...more }],
  });

const resultsOf = (events: SessionEvent[]) => JSON.stringify(eventsOf(events, "agent.tool_result"));
const askingAgent: Anthropic.Beta.Agents.AgentCreateParams = {
  name: "asks",
  model: "claude-opus-5-5",
  tools: [{ type: "agent_toolset_20260401", default_config: { permission_policy: { type: "always_ask" } } }],
};

test("allowed always: the same command runs unasked, now and in a new session of the workspace", async () => {
  const command = bash("touch remembered; echo made");
  const workspace = "always";
  const id = await begin(script([bash("touch one"), bash("touch one"), { text: "Both." }]), { workspace });
  const question = await asked(id);
  expect(question).toMatchObject({ kind: "tool", can_allow: true, input: { command: "touch one" } });
  expect(question.suggestions[0]).toMatchObject({ rules: ["Bash(touch one *)"] });
  await answer(id, question, "allow", { holdfast: { remember: question.suggestions[0]?.id } });
  const events = await ended(id);
  expect(eventsOf(events, "holdfast.permission_request")).toHaveLength(1);
  expect(eventsOf(events, "agent.tool_result").map((event) => event.is_error)).toEqual([false, false]);
  // The mode has not changed with it, and the workspace has no settings of ours.
  const settings = await kit.exec(["sh", "-c", "ls -A /__modal/volumes/*/.claude 2>/dev/null | grep settings; true"]);
  expect(settings.stdout).not.toContain("settings.local.json");

  const next = await begin(script([bash("touch one"), command, { text: "Done." }]), { workspace });
  const other = await asked(next);
  expect(other.input).toMatchObject({ command: "touch remembered; echo made" });
  expect(eventsOf(await kit.log(next), "agent.tool_result")).toHaveLength(1);
  await answer(next, other, "deny");
  await ended(next);
  const elsewhere = await begin(script([bash("touch one"), { text: "Done." }]), { workspace: "elsewhere" });
  await answer(elsewhere, await asked(elsewhere), "deny");

  const env = { HOLDFAST_URL: kit.url, HOLDFAST_API_KEY: kit.account.apiKey, XDG_CONFIG_HOME: home };
  expect((await holdfast(["workspace", "rules", workspace], env)).stdout).toMatch(/Bash\(touch one \*\) +rule_/);
  const gone = await holdfast(["workspace", "rules", workspace, "--delete", "Bash(touch one *)"], env);
  expect(gone.stdout).toContain("asked again");
  // Also by the process that is there.
  await sdk().sessions.events.send(id, { events: [userMessage(script([bash("touch one"), { text: "Again." }]))] });
  await answer(id, await asked(id, 2), "deny");
  await ended(id, 2);
});

test("under an agent that always asks: exactly this command, in every later session", async () => {
  const agent = (await sdk().agents.create(askingAgent)).id;
  const where = { workspace: "policy", agent };
  const turns = [bash("echo (yes) > said.txt; cat said.txt".replace("(yes)", "'(yes)'")), { text: "Said." }];
  const id = await begin(script(turns), where);
  const question = await asked(id);
  expect(question.suggestions).toHaveLength(1);
  await answer(id, question, "allow", { holdfast: { remember: question.suggestions[0]?.id } });
  expect(resultsOf(await ended(id))).toContain("(yes)");
  const next = await begin(script([...turns.slice(0, 1), bash("echo other"), { text: "Said." }]), where);
  const other = await asked(next);
  expect(other.input).toMatchObject({ command: "echo other" });
  const events = await kit.log(next);
  expect(eventsOf(events, "holdfast.permission_resolved")).toMatchObject([{ outcome: "allowed" }]);
  expect(resultsOf(events)).toContain("(yes)");
  await answer(next, other, "deny", { holdfast: { stop: true } });
  expect(eventsOf(await ended(next), "session.status_idle").at(-1)?.holdfast?.outcome).toBe("stopped");
});

test("a question with choices: two devices at once, one answer, and Claude has it", async () => {
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
  ];
  const id = await begin(script([use("AskUserQuestion", { questions }), { text: "I see." }]), { workspace: "choices" });
  const question = await asked(id);
  expect(question).toMatchObject({ kind: "question", questions: [{ question: "Which database?" }] });
  const other = await kit.addAccount("nobody");
  await expect(
    other.client.beta.sessions.events.send(id, {
      events: [{ type: "user.tool_confirmation", tool_use_id: question.tool_use_id, result: "deny" }],
    }),
  ).rejects.toMatchObject({ status: 404 });
  const both = await Promise.allSettled(
    ["Postgres", "SQLite"].map((label) =>
      answer(id, question, "allow", { holdfast: { answers: { "Which database?": label } } }),
    ),
  );
  expect(both.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(both.find((each) => each.status === "rejected")?.reason).toMatchObject({ status: 409 });
  const events = await ended(id);
  const [resolved] = eventsOf(events, "holdfast.permission_resolved");
  const chosen = resolved?.answers?.["Which database?"];
  expect(["Postgres", "SQLite"]).toContain(chosen);
  expect(resultsOf(events)).toContain(`\\"Which database?\\"=\\"${chosen}\\"`);
});

test("a plan: refused once, then approved with its edits accepted, which lasts", async () => {
  const write = (name: string) => use("Write", { file_path: `/mnt/workspace/${name}`, content: "x" });
  const id = await begin(
    script([
      use("EnterPlanMode", {}),
      use("ExitPlanMode", {}),
      use("ExitPlanMode", {}),
      write("planned.txt"),
      { text: "Built." },
    ]),
    { workspace: "plans" },
  );
  const first = await asked(id);
  // Whether entering is asked for depends on the version.
  const entered = first.kind === "plan" ? 0 : 1;
  if (entered === 1) await answer(id, first, "allow");
  const plan = await asked(id, 1 + entered);
  expect(plan.kind).toBe("plan");
  await answer(id, plan, "deny", { deny_message: "Smaller steps, please" });
  const again = await asked(id, 2 + entered);
  await answer(id, again, "allow", { holdfast: { mode: "acceptEdits" } });
  const events = await ended(id);
  expect(resultsOf(events)).toContain("Smaller steps, please");
  expect(eventsOf(events, "holdfast.permission_request")).toHaveLength(2 + entered);
  expect(eventsOf(events, "agent.tool_result").at(-1)).toMatchObject({ is_error: false });
  expect(eventsOf(events, "holdfast.permission_resolved").at(-1)).toMatchObject({ mode: "acceptEdits" });
});

test("the engine and the server are killed while it waits: the answer still reaches Claude, once", async () => {
  const id = await begin(script([bash("touch killed; echo survived"), { text: "Still here." }]), {
    workspace: "kills",
  });
  const question = await asked(id);
  for (const name of ["engine", "server"] as const) {
    const { pid } = kit.system.services[name];
    if (pid === undefined) throw new Error(`no ${name} runs`);
    process.kill(pid, "SIGKILL");
    const isBack = async () => {
      const response = await kit.fetch("/ready").catch(() => undefined);
      return response?.status === 200 && kit.system.services[name].pid !== pid;
    };
    await expect.poll(isBack, { timeout: 60_000 }).toBe(true);
  }
  await answer(id, question, "allow");
  const events = await ended(id);
  expect(resultsOf(events)).toContain("survived");
  expect(spokenText(events)).toContain("Still here.");
  expect(eventsOf(events, "holdfast.permission_resolved")).toMatchObject([{ outcome: "allowed" }]);
  expect(eventsOf(events, "agent.tool_result")).toHaveLength(1);
  expect(eventsOf(events, "session.error")).toEqual([]);
  await expect(answer(id, question, "deny")).rejects.toMatchObject({ status: 409 });
});

test("in a terminal: run asks, and takes words for an answer; attach answers from another one", async () => {
  const env = { HOLDFAST_URL: kit.url, HOLDFAST_API_KEY: kit.account.apiKey, XDG_CONFIG_HOME: home };
  const turns = script([bash("touch first"), bash("touch second"), { text: "Finished." }]);
  const tty = terminal(["run", "-w", "tty", "--create", turns], env);
  await tty.until("❓ Claude wants to run a command");
  await tty.until(/why not > $/);
  expect(tty.text()).toContain("a1  Always allow Bash(touch first *)");
  tty.type("Not that one\r");
  await tty.until(/touch second[\s\S]*why not > $/);
  const [id = ""] = (await holdfast(["ls", "-q"], env)).stdout.trim().split("\n");
  const other = terminal(["attach", id], env);
  await other.until(/touch second[\s\S]*why not > $/);
  other.type("y\r");
  expect(await tty.exit).toBe(0);
  expect(tty.text()).toContain("Not that one");
  expect(tty.text()).toContain("Finished.");
  await other.until("Finished.");
  other.type("\u0004");
  expect(await other.exit).toBe(0);
  expect(eventsOf(await kit.log(id), "holdfast.permission_resolved")).toMatchObject([
    { outcome: "denied", message: "Not that one" },
    { outcome: "allowed" },
  ]);
});

test("in a pipe: run says what waits and how to answer it", async () => {
  const env = { HOLDFAST_URL: kit.url, HOLDFAST_API_KEY: kit.account.apiKey, XDG_CONFIG_HOME: home };
  const run = await holdfast(["run", "-w", "pipe", script([bash("touch piped"), { text: "Piped." }])], env);
  expect(run.code).toBe(1);
  expect(run.stdout).toContain("❓ Claude wants to run a command\n   touch piped");
  const [id = ""] = (await holdfast(["ls", "-q"], env)).stdout.trim().split("\n");
  expect(run.stderr).toContain(`holdfast answer ${id} y`);
  expect((await holdfast(["answer", id, "q"], env)).code).toBe(2);
  expect((await holdfast(["answer", id, "y"], env)).stdout).toMatch(/^Allowed by the key "/);
  expect(spokenText(await ended(id))).toContain("Piped.");
  const late = await holdfast(["answer", id, "y"], env);
  expect(late).toMatchObject({ code: 1 });
  expect(late.stderr).toContain("Nothing is asked");
});
