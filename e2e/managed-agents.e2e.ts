import type Anthropic from "@anthropic-ai/sdk";
import type { SessionEvent } from "@holdfast/protocol";
import { createTestKit, eventsOf, spokenText, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit({ record: true });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

type AgentParams = Anthropic.Beta.Agents.AgentCreateParams;
const sdk = () => kit.account.client.beta;
const model = "claude-opus-5-5";

/** Plays exact turns of the scripted model. */
const script = (turns: object[]) => `Please.\n\`\`\`holdfast-script\n${JSON.stringify(turns)}\n\`\`\``;
const bash = (command: string) => ({ toolUse: { name: "Bash", input: { command, description: "test" } } });
const say = (text: string) => ({
  events: [{ type: "user.message" as const, content: [{ type: "text" as const, text }] }],
});

const askBash: AgentParams["tools"] = [
  {
    type: "agent_toolset_20260401",
    configs: [{ name: "bash", permission_policy: { type: "always_ask" } }],
  },
];

async function sessionOf(params: Partial<AgentParams>, workspace: string): Promise<string> {
  const agent = await sdk().agents.create({ model, name: "tester", ...params });
  const metadata = { "holdfast.workspace": workspace };
  return (await sdk().sessions.create({ agent: agent.id, environment_id: "env_default", metadata })).id;
}

/** Events from the newest message on, until the session is idle for the `times`-th time. */
async function untilIdle(sessionId: string, times = 1): Promise<SessionEvent[]> {
  const seen: SessionEvent[] = [];
  let left = times;
  for await (const event of await sdk().sessions.events.stream(sessionId)) {
    seen.push(event as unknown as SessionEvent);
    if (event.type === "session.status_idle" && --left === 0) break;
  }
  return seen;
}

const stopOf = (events: SessionEvent[]) => eventsOf(events, "session.status_idle").at(-1)?.stop_reason;

/** Sends, and waits for the question; the id of the tool call's event. */
async function untilAsked(sessionId: string, text: string): Promise<string> {
  await sdk().sessions.events.send(sessionId, say(text));
  const events = await untilIdle(sessionId);
  const stop = stopOf(events);
  if (stop?.type !== "requires_action") throw new Error(`nothing was asked: ${JSON.stringify(events)}`);
  const [id] = stop.event_ids;
  if (id === undefined) throw new Error("no event is named");
  expect(eventsOf(events, "agent.tool_use").find((event) => event.id === id)).toMatchObject({
    name: "Bash",
    evaluated_permission: "ask",
  });
  expect((await sdk().sessions.retrieve(sessionId)).status).toBe("idle");
  return id;
}

const confirm = (sessionId: string, id: string, result: "allow" | "deny", message?: string) =>
  sdk().sessions.events.send(sessionId, {
    events: [
      {
        type: "user.tool_confirmation",
        tool_use_id: id,
        result,
        ...(message === undefined ? {} : { deny_message: message }),
      },
    ],
  });

describe("questions", () => {
  test("allow: the tool runs once the answer came, and a second answer is a conflict", async () => {
    const sessionId = await sessionOf({ tools: askBash }, "allow");
    const id = await untilAsked(
      sessionId,
      script([bash("echo granted > allowed.txt; cat allowed.txt"), { text: "Ran." }]),
    );
    await confirm(sessionId, id, "allow");
    const events = await untilIdle(sessionId, 2);
    expect(stopOf(events)).toEqual({ type: "end_turn" });
    expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("granted");
    expect(events.map(({ type }) => type)).toContain("user.tool_confirmation");
    expect(spokenText(events)).toContain("Ran.");
    const second = confirm(sessionId, id, "allow");
    await expect(second).rejects.toMatchObject({ status: 409, type: "conflict_error" });
    await expect(second).rejects.toThrow(id);
  });

  test("deny: the model is told why, and the turn goes on", async () => {
    const sessionId = await sessionOf({ tools: askBash }, "deny");
    const id = await untilAsked(sessionId, script([bash("touch denied.txt"), { text: "Understood." }]));
    await confirm(sessionId, id, "deny", "Not on a Monday");
    const events = await untilIdle(sessionId, 2);
    expect(eventsOf(events, "agent.tool_result")[0]).toMatchObject({ is_error: true });
    expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("Not on a Monday");
    expect(spokenText(events)).toContain("Understood.");
    const metadata = { "holdfast.workspace": "deny" };
    const { events: after } = await kit.turn(script([bash("ls -a; echo listed"), { text: "Ok." }]), { metadata });
    expect(JSON.stringify(eventsOf(after, "agent.tool_result"))).toContain("listed");
    expect(JSON.stringify(eventsOf(after, "agent.tool_result"))).not.toContain("denied.txt");
  });

  test("interrupt while a question is open; a late answer is a conflict; the next message works", async () => {
    const sessionId = await sessionOf({ tools: askBash }, "stop");
    const id = await untilAsked(sessionId, script([bash("sleep 1"), { text: "Never." }]));
    await sdk().sessions.events.send(sessionId, { events: [{ type: "user.interrupt" }] });
    await expect
      .poll(async () => eventsOf(await kit.log(sessionId), "session.status_idle").at(-1)?.holdfast?.outcome)
      .toBe("stopped");
    await expect(confirm(sessionId, id, "allow")).rejects.toMatchObject({ status: 409 });
    const next = await kit.turn(script([{ text: "Here again." }]), { sessionId });
    expect(spokenText(next.events)).toContain("Here again.");
  });

  test("a question outlives the server: killed while it is open, the next one takes the answer", async () => {
    const sessionId = await sessionOf({ tools: askBash }, "restart");
    const id = await untilAsked(sessionId, script([bash("echo after the restart"), { text: "Still here." }]));
    const { pid } = kit.system.services.server;
    if (pid === undefined) throw new Error("no server runs");
    process.kill(pid, "SIGKILL");
    const isBack = async () => {
      const response = await kit.fetch("/ready").catch(() => undefined);
      return response?.status === 200 && kit.system.services.server.pid !== pid;
    };
    await expect.poll(isBack, { timeout: 30_000 }).toBe(true);
    expect((await sdk().sessions.retrieve(sessionId)).status).toBe("idle");
    await confirm(sessionId, id, "allow");
    const events = await untilIdle(sessionId, 2);
    expect(stopOf(events)).toEqual({ type: "end_turn" });
    expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("after the restart");
    expect(eventsOf(events, "session.error")).toEqual([]);
    expect(eventsOf(events, "user.tool_confirmation")).toHaveLength(1);
    await expect(confirm(sessionId, id, "deny")).rejects.toMatchObject({ status: 409 });
  });

  test("tools that the policy allows run without a question, also beside one that asks", async () => {
    const sessionId = await sessionOf({ tools: askBash }, "mixed");
    const write = { toolUse: { name: "Write", input: { file_path: "/mnt/workspace/free.txt", content: "free" } } };
    const { events } = await kit.turn(script([write, { text: "Written." }]), { sessionId });
    expect(stopOf(events)).toEqual({ type: "end_turn" });
    expect(eventsOf(events, "agent.tool_result")[0]).toMatchObject({ is_error: false });
    expect(eventsOf(events, "agent.tool_use")[0]?.evaluated_permission).toBe("allow");
  });
});

describe("agents", () => {
  test("model, system prompt, effort and tools reach Claude Code", async () => {
    const sessionId = await sessionOf(
      {
        model: { id: "claude-haiku-5-5", effort: "low" },
        system: "--Answer\nin rhyme",
        tools: [
          {
            type: "agent_toolset_20260401",
            default_config: { enabled: false },
            configs: [
              { name: "bash", enabled: true },
              { name: "read", enabled: true },
            ],
          },
        ],
      },
      "agent",
    );
    const { events } = await kit.turn(script([bash("echo free"), { text: "Done." }]), { sessionId });
    const [init] = eventsOf(events, "holdfast.initialized");
    expect(init).toMatchObject({ model: "claude-haiku-5-5", permission_mode: "bypassPermissions" });
    expect(init?.tools.toSorted()).toEqual(["Bash", "Read"]);
    expect(stopOf(events)).toEqual({ type: "end_turn" });
    const start = kit.recorder.events.findLast(
      (event) => event.kind === "exec.start" && event.args.includes("--model"),
    );
    const args = start?.kind === "exec.start" ? start.args : [];
    expect(args[args.indexOf("--append-system-prompt") + 1]).toBe("--Answer\nin rhyme");
    expect(args[args.indexOf("--effort") + 1]).toBe("low");
  });

  test("an agent without tools has none", async () => {
    const sessionId = await sessionOf({}, "no-tools");
    const { events } = await kit.turn(script([{ text: "Only words." }]), { sessionId });
    expect(eventsOf(events, "holdfast.initialized")[0]?.tools).toEqual([]);
    expect(spokenText(events)).toContain("Only words.");
  });
});

test("the whole turn by a stream that is opened after the send; deltas joined are the text, byte for byte", async () => {
  const sessionId = await sessionOf({}, "deltas");
  const text = "Grüße 👩‍💻, 漢字\n\n```js\nconst a = '\\u2028';\n```\u2028 end";
  await sdk().sessions.events.send(sessionId, say(script([{ text }])));
  const drafts = new Map<string, string>();
  const types: string[] = [];
  let final: { id: string; text: string } | undefined;
  const stream = await sdk().sessions.events.stream(sessionId, { event_deltas: ["agent.message"] });
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === "event_delta") {
      drafts.set(event.event_id, (drafts.get(event.event_id) ?? "") + event.delta.content.text);
    }
    if (event.type === "agent.message") {
      final = { id: event.id, text: event.content.map((block) => (block.type === "text" ? block.text : "")).join("") };
    }
    if (event.type === "session.status_idle") break;
  }
  expect(types[0]).toBe("user.message");
  expect(final?.text).toBe(text);
  expect(Buffer.from(drafts.get(final?.id ?? "") ?? "")).toEqual(Buffer.from(text));
});

describe("sessions", () => {
  test("initial events run; delete ends a running turn and removes the session, not the workspace", async () => {
    const account = await kit.addAccount("deletes");
    const { agents, sessions } = account.client.beta;
    const agent = await agents.create({ model, name: "starter", tools: [{ type: "agent_toolset_20260401" }] });
    const { id } = await sessions.create({
      agent: agent.id,
      environment_id: "env_default",
      initial_events: say(script([bash("echo kept > kept.txt; sleep 63"), { text: "Slept." }])).events,
    });
    const exec = async (...args: string[]) => (await kit.exec(args, { account }).catch(() => ({ stdout: "" }))).stdout;
    await expect.poll(() => exec("cat", "/mnt/workspace/kept.txt"), { timeout: 60_000 }).toContain("kept");
    expect(await exec("pgrep", "-x", "sleep")).not.toBe("");
    const last: string[] = [];
    const stream = await sessions.events.stream(id);
    const reading = (async () => {
      for await (const event of stream) last.push(event.type);
    })();
    expect(await sessions.delete(id)).toEqual({ id, type: "session_deleted" });
    await reading;
    expect(last.at(-1)).toBe("session.deleted");
    await expect(sessions.retrieve(id)).rejects.toMatchObject({ status: 404 });
    expect(await exec("pgrep", "-f", "sleep 63")).toBe("");
    expect(await exec("pgrep", "-x", "claude")).toBe("");
    const { events } = await kit.turn("run `cat kept.txt`", { account });
    expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("kept");
  });
});

describe("environments", () => {
  test("image commands: built once, told step by step, and in the sandbox; an idle sandbox gives way", async () => {
    const create = {
      name: "tools",
      holdfast: { image_commands: ["RUN echo from-the-environment > /etc/holdfast-test"] },
    };
    const environment = await sdk().environments.create(create);
    const metadata = { "holdfast.workspace": "environments" };
    const plain = await kit.turn("run `cat /etc/holdfast-test`", { metadata });
    expect(JSON.stringify(eventsOf(plain.events, "agent.tool_result"))).toContain("No such file");
    const { id } = await sdk().sessions.create({ agent: "agent_default", environment_id: environment.id, metadata });
    const { events } = await kit.turn("run `cat /etc/holdfast-test`", { sessionId: id });
    expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("from-the-environment");
    const built = (await sdk().environments.retrieve(environment.id)) as unknown as { holdfast: { image: object } };
    expect(built.holdfast.image).toMatchObject({ state: "ready" });
    // A change counts from the next turn on, also for a session that is there.
    const change: object = { holdfast: { image_commands: ["RUN echo from-the-change > /etc/holdfast-test"] } };
    await sdk().environments.update(environment.id, change);
    const changed = await kit.turn("run `cat /etc/holdfast-test`", { sessionId: id });
    expect(JSON.stringify(eventsOf(changed.events, "agent.tool_result"))).toContain("from-the-change");
    expect(eventsOf(changed.events, "session.error")).toEqual([]);
  });

  test("packages of apt and npm are in the sandbox", async () => {
    const packages = { apt: ["tree"], npm: ["semver@7.7.2"] };
    const environment = await sdk().environments.create({ name: "packages", config: { type: "cloud", packages } });
    const metadata = { "holdfast.workspace": "packages" };
    const { id } = await sdk().sessions.create({ agent: "agent_default", environment_id: environment.id, metadata });
    const { events } = await kit.turn("run `tree --version && semver 1.2.3 -i minor`", { sessionId: id });
    const results = JSON.stringify(eventsOf(events, "agent.tool_result"));
    expect(results).toContain("tree v");
    expect(results).toContain("1.3.0");
  });

  test("while a turn runs in the workspace's sandbox, another environment has to wait", async () => {
    const create = { name: "second", holdfast: { image_commands: ["ENV HOLDFAST_TEST=1"] } };
    const environment = await sdk().environments.create(create);
    const metadata = { "holdfast.workspace": "busy" };
    const first = await sdk().sessions.create({ agent: "agent_default", environment_id: "env_default", metadata });
    await sdk().sessions.events.send(first.id, say(script([bash("sleep 64"), { text: "Never." }])));
    await expect
      .poll(async () => eventsOf(await kit.log(first.id), "agent.tool_use").length, { timeout: 60_000 })
      .toBe(1);
    const { id } = await sdk().sessions.create({ agent: "agent_default", environment_id: environment.id, metadata });
    const refused = await kit.turn("list the files", { sessionId: id });
    expect(eventsOf(refused.events, "session.error")[0]?.holdfast?.code).toBe("environment_busy");
    await sdk().sessions.events.send(first.id, { events: [{ type: "user.interrupt" }] });
    await expect.poll(async () => (await sdk().sessions.retrieve(first.id)).status, { timeout: 30_000 }).toBe("idle");
    const { events } = await kit.turn("run `env`", { sessionId: id });
    expect(JSON.stringify(eventsOf(events, "agent.tool_result"))).toContain("HOLDFAST_TEST=1");
  });

  test("a command that fails: retrieve and the turn say which and why", async () => {
    const create = { name: "broken", holdfast: { image_commands: ["RUN echo the reason >&2; exit 9"] } };
    const environment = await sdk().environments.create(create);
    const image = async () =>
      ((await sdk().environments.retrieve(environment.id)) as unknown as { holdfast: { image: { state: string } } })
        .holdfast.image;
    await expect.poll(async () => (await image()).state, { timeout: 60_000 }).toBe("failed");
    expect(JSON.stringify(await image())).toContain("the reason");
    const metadata = { "holdfast.workspace": "broken" };
    const { id } = await sdk().sessions.create({ agent: "agent_default", environment_id: environment.id, metadata });
    const { events } = await kit.turn("list the files", { sessionId: id });
    expect(eventsOf(events, "session.error")[0]?.holdfast?.code).toBe("image_build_failed");
    expect(JSON.stringify(events)).toContain("the reason");
  });
});
