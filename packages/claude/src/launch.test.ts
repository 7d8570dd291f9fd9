import { expect, test } from "vitest";
import { claudeArgs, claudeEnvironment, claudeSettings } from "./launch.ts";
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
    settings: claudeSettings({ baseUrl: "http://gateway:1" }),
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
    '{"env":{"ANTHROPIC_BASE_URL":"http://gateway:1"}}',
  ]);
});

test("the environment keeps state on the volume and holds no secret", () => {
  const env = claudeEnvironment({ stateMount: "/mnt/state", maxRetries: 3 });
  expect(env).toMatchObject({
    HOME: "/mnt/state",
    CLAUDE_CONFIG_DIR: "/mnt/state/.claude",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    CLAUDE_CODE_MAX_RETRIES: "3",
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
