import { expect, test } from "vitest";
import { claudeArgs, claudeBehaviour, claudeEnvironment } from "./launch.ts";
import { claudeSettings } from "./settings.ts";
import { interruptRequest, permissionResponse, userLine } from "./writers.ts";

const id = "11111111-1111-4111-8111-111111111111";

test("arguments of a first and of a resumed process", () => {
  expect(claudeArgs({ conversation: { kind: "new", id }, permissionMode: "bypassPermissions" })).toEqual([
    "-p",
    "--output-format",
    "stream-json",
    "--input-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--replay-user-messages",
    "--permission-prompt-tool",
    "stdio",
    "--permission-mode",
    "bypassPermissions",
    "--dangerously-skip-permissions",
    "--session-id",
    id,
  ]);
  const resumed = claudeArgs({
    conversation: { kind: "resume", id },
    permissionMode: "default",
    model: "claude-x",
    appendSystemPrompt: "be kind",
    settings: { a: 1 },
  });
  expect(resumed).not.toContain("--session-id");
  expect(resumed).not.toContain("--dangerously-skip-permissions");
  expect(resumed.slice(-8)).toEqual([
    "--resume",
    id,
    "--model",
    "claude-x",
    "--append-system-prompt",
    "be kind",
    "--settings",
    '{"a":1}',
  ]);
});

test("where Claude is to ask, what its files say does neither run nor allow", () => {
  const args = { conversation: { kind: "new", id }, permissionMode: "default", settings: { a: 1 } } as const;
  expect(claudeArgs({ ...args, distrusts: "commands" }).slice(-3)).toEqual([
    "--settings",
    '{"a":1,"disableAllHooks":true}',
    "--strict-mcp-config",
  ]);
  const all = claudeArgs({ ...args, distrusts: "commands and rules" });
  expect(all.slice(-3)).toEqual(["--strict-mcp-config", "--setting-sources", "project"]);
});

test("settings stand above those of files, hold no secret, and leave what the operator has set", () => {
  const behaviour = claudeBehaviour({ maxRetries: 3 });
  const baseUrl = "http://gateway:1";
  const settings = claudeSettings({ baseUrl, behaviour, environment: {} });
  expect(settings).toMatchObject({
    cleanupPeriodDays: 36_500,
    apiKeyHelper: "",
    env: { ANTHROPIC_BASE_URL: baseUrl, https_proxy: "", CLAUDE_CODE_MAX_RETRIES: "3", ANTHROPIC_AUTH_TOKEN: "" },
  });
  expect(Object.keys(settings.env as object)).not.toContain("ANTHROPIC_API_KEY");
  const environment = { HTTPS_PROXY: "http://proxy:3128", ANTHROPIC_CUSTOM_HEADERS: "x-secret: 1" };
  const left = claudeSettings({ baseUrl, behaviour, environment }).env as Record<string, string>;
  for (const name of ["HTTPS_PROXY", "https_proxy", "ANTHROPIC_CUSTOM_HEADERS"]) expect(left).not.toHaveProperty(name);
  expect(left).toMatchObject({ HTTP_PROXY: "" });
});

test("the environment keeps state on the volume and holds no secret", () => {
  const env = claudeEnvironment({ stateMount: "/mnt/state", behaviour: claudeBehaviour({ maxRetries: 3 }) });
  expect(env).toMatchObject({
    HOME: "/mnt/state/home",
    CLAUDE_CONFIG_DIR: "/mnt/state/.claude",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    CLAUDE_CODE_MAX_RETRIES: "3",
    CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST: "1",
  });
  expect(Object.keys(env).filter((name) => /KEY|TOKEN|AWS/.test(name))).toEqual([]);
});

test("what is written to stdin is one line of JSON, whatever the text holds", () => {
  const text = 'a\nb\r\u2028\u2029"\\ \u0000 \ud83d\ude00';
  for (const line of [
    userLine({ content: text, uuid: id }),
    userLine({ content: [{ type: "text", text }], uuid: id, priority: "now", clientComposed: true }),
    interruptRequest("req_1", { cancelQueued: true }),
    permissionResponse("req_2", { behavior: "deny", message: text, interrupt: true }),
  ]) {
    expect(line).not.toMatch(/[\n\r\u2028\u2029]/);
    expect(JSON.parse(line)).toHaveProperty("type");
  }
  expect(JSON.parse(userLine({ content: text, uuid: id }))).toEqual({
    type: "user",
    message: { role: "user", content: text },
    parent_tool_use_id: null,
    uuid: id,
  });
  expect(JSON.parse(permissionResponse("req_3", { behavior: "allow", updatedInput: { a: 1 } }))).toEqual({
    type: "control_response",
    response: { subtype: "success", request_id: "req_3", response: { behavior: "allow", updatedInput: { a: 1 } } },
  });
});
