import { type ClaudeStateName, type ClaudeStates, claudeStateNames, routes } from "@holdfast/protocol";
import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type HeardModel, heardModel } from "./_heard-model.ts";
import { holdfast } from "./_machine.ts";

/** What the real CLI says of itself, in its sandbox: before, in and after a turn, and never by asking its model. */
let model: HeardModel;
let kit: TestKit;
let sessionId: string;
const secret = "a-value-of-env-that-nobody-is-told";

beforeAll(async () => {
  model = await heardModel();
  kit = await createTestKit({ adjust: model.adjust });
  // Its sandbox is there afterwards, for what is planted.
  await look(await newSession(), "plan", "?start=true");
  await plant("CLAUDE.md", "# Rules of the house");
  await plant("src/findable-name.ts", "export {};");
  await plant(
    ".claude/settings.json",
    JSON.stringify({
      env: { PLANTED: secret },
      outputStyle: "Explanatory",
      permissions: { allow: ["Bash(ls *)"], deny: ["WebFetch"] },
      hooks: { PostToolUse: [{ matcher: "Write", hooks: [{ type: "command", command: "true" }] }] },
    }),
  );
  const config = { mcpServers: { planted: { command: "false", args: [], env: { KEY: secret } } } };
  await plant(".mcp.json", JSON.stringify(config));
  sessionId = await newSession();
}, 300_000);
afterAll(async () => {
  await kit?.[Symbol.asyncDispose]();
  await model?.[Symbol.asyncDispose]();
});

async function newSession(): Promise<string> {
  const { id } = await kit.account.client.beta.sessions.create({
    agent: "agent_default",
    environment_id: "env_default",
  });
  return id;
}

async function plant(path: string, text: string): Promise<void> {
  const command = `f=/mnt/workspace/${path}; mkdir -p $(dirname $f) && cat > $f && chown -R 1000:1000 $(readlink -f /mnt/workspace)`;
  expect((await kit.exec(["bash", "-c", command], { stdin: text })).code).toBe(0);
}

type Known<N extends ClaudeStateName> = ClaudeStates[N] & { live: boolean; as_of: string };

async function look<N extends ClaudeStateName>(id: string, name: N, query = ""): Promise<Known<N>> {
  const response = await kit.fetch(`/v1/sessions/${id}/claude/${name}${query}`);
  const body = (await response.json()) as Known<N>;
  expect([name, response.status, response.status === 200 ? "" : body]).toEqual([name, 200, ""]);
  const schema = routes.find(({ path }) => path === `/v1/sessions/{id}/claude/${name}`)?.ok.schema;
  expect(schema?.parse(body)).toEqual(body);
  expect(JSON.stringify(body)).not.toContain(secret);
  return body;
}

/** Of every name; `live`: what each must be. */
async function lookAll(live: boolean, query = "") {
  const context = await look(sessionId, "context", query);
  const all = {
    context,
    models: await look(sessionId, "models", query),
    mcp: await look(sessionId, "mcp", query),
    permissions: await look(sessionId, "permissions", query),
    commands: await look(sessionId, "commands", query),
    files: await look(sessionId, "files", query),
    settings: await look(sessionId, "settings", query),
    usage: await look(sessionId, "usage", query),
    hooks: await look(sessionId, "hooks", query),
    plan: await look(sessionId, "plan", query),
  };
  expect(Object.keys(all).sort()).toEqual([...claudeStateNames].sort());
  expect(Object.values(all).map((each) => each.live)).toEqual(claudeStateNames.map(() => live));
  return all;
}

type All = Awaited<ReturnType<typeof lookAll>>;

function checkContent({ context, models, mcp, permissions, commands, files, settings, hooks, plan }: All): void {
  expect(context.max_tokens).toBeGreaterThan(10_000);
  expect(context.used_tokens).toBeGreaterThan(1_000);
  expect(context.categories.map(({ id }) => id)).toEqual(expect.arrayContaining(["system_prompt", "free_space"]));
  expect(context.memory_files.map(({ name }) => name)).toEqual([expect.stringMatching(/CLAUDE\.md$/)]);
  expect(context.skills.length).toBeGreaterThan(0);
  expect(models.models.map(({ id }) => id)).toEqual(expect.arrayContaining(["default", "opus", "sonnet", "haiku"]));
  expect(models.models[0]?.efforts).toContain("high");
  expect(mcp.servers.map(({ name }) => name)).toEqual(["planted"]);
  expect(permissions.rules).toContainEqual({
    behavior: "deny",
    rule: "WebFetch",
    source: "projectSettings",
    editable: true,
  });
  expect(commands.commands.map(({ name }) => name)).toContain("code-review");
  expect(commands.agents.map(({ name }) => name)).toContain("general-purpose");
  expect(commands.output_style).toBe("Explanatory");
  expect(files.files.map(({ path }) => path)).toEqual(expect.arrayContaining(["CLAUDE.md", "src/"]));
  expect(settings.model).toMatch(/^claude-/);
  expect([settings.permission_mode, settings.output_style]).toEqual(["bypassPermissions", "Explanatory"]);
  expect(settings.permission_rules).toContainEqual({ behavior: "deny", rule: "WebFetch", source: "projectSettings" });
  expect(hooks.hooks).toContainEqual(
    expect.objectContaining({ event: "PostToolUse", matcher: "Write", type: "command", command: "true" }),
  );
  expect(plan).toMatchObject({ exists: false, text: null });
}

const asked = () => model.requests.filter(({ path }) => path.startsWith("/v1/messages")).length;
const status = async () => (await kit.account.client.beta.sessions.retrieve(sessionId)).status;

test("before a turn: each name answers from a process that is started for it, and no model is asked", async () => {
  for (const name of claudeStateNames) {
    const response = await kit.fetch(`/v1/sessions/${sessionId}/claude/${name}`);
    expect([name, response.status]).toEqual([name, 409]);
  }
  const all = await lookAll(true, "?start=true");
  checkContent(all);
  expect(all.usage).toMatchObject({ cost_usd: 0, models: [] });
  await expect
    .poll(async () => (await look(sessionId, "files", "?query=findable")).files, { timeout: 20_000 })
    .toEqual([{ path: "src/findable-name.ts" }]);
  expect([asked(), await status()]).toEqual([0, "idle"]);
  expect((await kit.log(sessionId)).map(({ type }) => type)).not.toContain("session.status_running");
});

test("in a turn: each name answers while a command runs, and only the turn asks the model", async () => {
  const toolUse = [{ name: "Bash", input: { command: "while [ ! -e /tmp/go ]; do sleep 0.1; done; echo went" } }];
  const script = `Wait.\n\`\`\`holdfast-script\n${JSON.stringify({ turns: [{ text: "I wait.", toolUse }, { text: "Done." }] })}\n\`\`\``;
  const turning = kit.turn(script, { sessionId });
  await expect
    .poll(async () => eventsOf(await kit.log(sessionId), "agent.tool_use").length, { timeout: 60_000 })
    .toBe(1);
  const before = asked();
  expect([before > 0, await status()]).toEqual([true, "running"]);
  checkContent(await lookAll(true));
  expect(asked()).toBe(before);
  await kit.exec(["touch", "/tmp/go"]);
  const { events } = await turning;
  expect(eventsOf(events, "holdfast.turn_result").map(({ outcome }) => outcome)).toEqual(["completed"]);
  const { models } = await look(sessionId, "usage");
  expect(models[0]?.output_tokens).toBeGreaterThan(0);
});

test("after its end: each name is what was known last, until it is started again", async () => {
  const before = await lookAll(true);
  await kit.exec(["bash", "-c", "pkill -KILL -x claude; while pgrep -x claude; do sleep 0.05; done"]);
  await expect.poll(async () => (await look(sessionId, "plan")).live, { timeout: 20_000 }).toBe(false);
  const requests = asked();
  const known = await lookAll(false);
  const asBefore = Object.fromEntries(Object.entries(before).map(([name, each]) => [name, { ...each, live: false }]));
  expect({ ...known, plan: { ...known.plan, as_of: "" } }).toEqual({
    ...asBefore,
    plan: { ...asBefore.plan, as_of: "" },
  });
  const cli = (...args: string[]) =>
    holdfast(["context", sessionId, ...args], { HOLDFAST_URL: kit.url, HOLDFAST_API_KEY: kit.account.apiKey });
  const table = (await cli()).stdout;
  expect(table).toMatch(/^Context of claude-\S+: [\d ]+ of [\d ]+ tokens \(\d+ %\)$/m);
  expect(table).toContain("Claude Code does not run: as it was last known, ");
  expect(table).toMatch(/^System prompt +used +[\d ]+ \d+\.\d %$/m);
  expect(JSON.parse((await cli("--start", "-o", "json")).stdout)).toMatchObject({ live: true });
  checkContent(await lookAll(true));
  expect([asked(), await status()]).toEqual([requests, "idle"]);
});
