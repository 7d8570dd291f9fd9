import { describe, expect, test } from "vitest";
import { decodeLine } from "./decode.ts";
import { asObject, type JsonObject } from "./json.ts";
import { mapLine } from "./map-line.ts";
import { createMapperState } from "./state.ts";
import { stateAnswer } from "./state-answers.ts";
import { isStateAnswer, stateRequest } from "./state-request.ts";

type Name = Parameters<typeof stateAnswer>[0]["name"];
const read = (name: Name, response: unknown, query = "") =>
  stateAnswer({ name, query }, response, {
    mode: "plan",
    show: (path) => path.replace("/volumes/vo-1", "/mnt/workspace"),
  });

/** Parts of what Claude Code 2.1.330 answered. */
const said: Partial<Record<Name, JsonObject>> = {
  context: {
    categories: [
      { id: "system_prompt", name: "System prompt", tokens: 7058, color: "promptBorder", kind: "used" },
      { id: "later", name: "Later", tokens: "many", kind: "new" },
    ],
    totalTokens: 22_027,
    maxTokens: 200_000,
    percentage: 11,
    gridRows: [[{ color: "promptBorder", categoryName: "System prompt" }]],
    model: "claude-sonnet-4-6",
    memoryFiles: [{ path: "/volumes/vo-1/CLAUDE.md", type: "Project", tokens: 12 }],
    mcpTools: [{ name: "lookup", serverName: "host", tokens: 5, isLoaded: true }],
    agents: [{ agentType: "reviewer", source: "projectSettings", tokens: 9 }],
    skills: { totalSkills: 1, tokens: 362, skillFrontmatter: [{ name: "dataviz", source: "built-in", tokens: 362 }] },
    autoCompactThreshold: 167_000,
    isAutoCompactEnabled: true,
  },
  mcp: {
    mcpServers: [
      {
        name: "bad",
        status: "failed",
        error: "not found",
        config: { type: "stdio", command: "/nope", env: { KEY: "hush" }, headers: { authorization: "hush" } },
        transport: "stdio",
        scope: "dynamic",
      },
      {
        name: "host",
        status: "connected",
        serverInfo: { name: "host", version: "1" },
        tools: [
          { name: "lookup", annotations: { readOnly: true } },
          { name: "slow", annotations: {} },
        ],
      },
    ],
  },
  settings: {
    effective: { env: { KEY: "hush" }, apiKeyHelper: "echo hush", outputStyle: "Explanatory" },
    sources: [
      { source: "userSettings", settings: { env: { KEY: "hush" }, permissions: { allow: ["Read"], ask: ["Bash"] } } },
      { source: "flagSettings", settings: { permissions: { deny: ["WebFetch"] } } },
    ],
    applied: { model: "claude-opus-5-5", effort: "medium", advisor: null },
  },
  commands: {
    commands: [{ name: "debug", description: "Find out", argumentHint: "[issue]", builtin: true }],
    agents: [{ name: "Plan", description: "Plans", model: "inherit" }],
    output_style: "default",
    available_output_styles: ["default", "Concise"],
    account: { email: "hush@example.com", apiKeySource: "ANTHROPIC_API_KEY" },
  },
};

describe("an answer in our words", () => {
  test("of the context has kinds and ids, and no picture", () => {
    expect(read("context", said.context)).toEqual({
      model: "claude-sonnet-4-6",
      used_tokens: 22_027,
      max_tokens: 200_000,
      percent_used: 11,
      auto_compact: { enabled: true, at_tokens: 167_000 },
      categories: [
        { id: "system_prompt", name: "System prompt", kind: "used", tokens: 7058 },
        { id: "later", name: "Later", kind: "other", tokens: 0 },
      ],
      memory_files: [{ name: "/mnt/workspace/CLAUDE.md", tokens: 12 }],
      mcp_tools: [{ name: "lookup", tokens: 5, server: "host" }],
      agents: [{ name: "reviewer", tokens: 9 }],
      skills: [{ name: "dataviz", tokens: 362 }],
    });
  });

  test("of MCP servers has no configuration", () => {
    expect(read("mcp", said.mcp)).toMatchObject({
      servers: [
        { name: "bad", status: "failed", error: "not found", server: null, tools: [] },
        {
          name: "host",
          error: null,
          server: { name: "host", version: "1" },
          tools: [
            { name: "lookup", read_only: true, destructive: null },
            { name: "slow", read_only: null, destructive: null },
          ],
        },
      ],
      truncated: false,
    });
  });

  test("of settings has what is applied, the mode of the lines, and rules with their source", () => {
    expect(read("settings", said.settings)).toEqual({
      model: "claude-opus-5-5",
      effort: "medium",
      permission_mode: "plan",
      output_style: "Explanatory",
      permission_rules: [
        { behavior: "ask", rule: "Bash", source: "userSettings" },
        { behavior: "allow", rule: "Read", source: "userSettings" },
        { behavior: "deny", rule: "WebFetch", source: "flagSettings" },
      ],
      truncated: false,
    });
  });

  test("of commands says nothing of whose key it is", () => {
    expect(read("commands", said.commands)).toEqual({
      commands: [{ name: "debug", description: "Find out", argument_hint: "[issue]", built_in: true }],
      agents: [{ name: "Plan", description: "Plans", model: "inherit" }],
      output_style: "default",
      output_styles: ["default", "Concise"],
      truncated: false,
    });
  });

  test("of files, permissions, usage, hooks, models and plans", () => {
    const suggestions = [{ path: "a.txt" }, { path: "sub/" }];
    expect(read("files", { suggestions, cwd: "/volumes/vo-1" }, "a")).toEqual({
      query: "a",
      files: suggestions,
      directory: "/mnt/workspace",
      truncated: false,
    });
    const rule = { behavior: "deny", source: "flagSettings", rule: "Bash", editability: "readonly" };
    expect(read("permissions", { state: { rules: [rule], workspaceDirectories: [], managedOnly: false } })).toEqual({
      rules: [{ behavior: "deny", rule: "Bash", source: "flagSettings", editable: false }],
      directories: [],
      managed_only: false,
      truncated: false,
    });
    const used = { inputTokens: 24_240, outputTokens: 47, cacheReadInputTokens: 19_915, costUSD: 0.08 };
    expect(read("usage", { session: { total_cost_usd: 0.08, model_usage: { "claude-x": used } } })).toMatchObject({
      cost_usd: 0.08,
      duration_ms: 0,
      models: [{ model: "claude-x", input_tokens: 24_240, cache_creation_input_tokens: 0 }],
    });
    const hook = { event: "Stop", source: "userSettings", type: "command", commandText: "true", timeout: 5 };
    expect(read("hooks", { hooks: [hook], policy: { allDisabled: true } })).toEqual({
      hooks: [
        {
          event: "Stop",
          matcher: null,
          type: "command",
          command: "true",
          source: "userSettings",
          disabled: false,
          timeout_s: 5,
        },
      ],
      all_disabled: true,
      managed_only: false,
      truncated: false,
    });
    const models = [{ value: "opus", displayName: "Opus", supportsEffort: true, supportedEffortLevels: ["low"] }];
    expect(read("models", { models })).toMatchObject({ models: [{ id: "opus", model: null, efforts: ["low"] }] });
    expect(read("plan", { exists: true, content: "# Plan\n", path: "/p.md" })).toEqual({
      exists: true,
      text: "# Plan\n",
      path: "/p.md",
    });
  });

  test("never holds a secret of what it was made of", () => {
    for (const [name, response] of Object.entries(said))
      expect(JSON.stringify(read(name as Name, response))).not.toContain("hush");
  });

  test("is bounded, and says so", () => {
    const rules = Array.from({ length: 3_000 }, (_, n) => ({ behavior: "allow", rule: `${"x".repeat(5_000)}${n}` }));
    const answer = asObject(read("permissions", { state: { rules } }));
    expect([(answer.rules as unknown[]).length, answer.truncated]).toEqual([1_000, true]);
    expect(JSON.stringify(answer).length).toBeLessThan(700_000);
  });

  test.each([null, "text", [], {}, { models: 7 }, { state: { rules: "no" } }, { session: [] }])(
    "is none when %j was said",
    (response) => {
      for (const name of ["context", "models", "mcp", "permissions", "commands", "files"] as const)
        expect(read(name, response)).toBeUndefined();
      for (const name of ["settings", "usage", "hooks", "plan"] as const) expect(read(name, response)).toBeUndefined();
    },
  );
});

describe("a question", () => {
  test("for the context never has tokens counted by the API", () => {
    const { line, requestId } = stateRequest("1", { name: "context", query: "" });
    expect(JSON.parse(line)).toEqual({
      type: "control_request",
      request_id: requestId,
      request: { subtype: "get_context_usage", detail: "summary" },
    });
    expect(JSON.parse(stateRequest("2", { name: "files", query: "a" }).line)).toMatchObject({
      request: { subtype: "file_suggestions", query: "a" },
    });
  });

  test("is answered by a line that sets nothing", () => {
    const { requestId } = stateRequest("1", { name: "context", query: "" });
    const answer = { subtype: "success", request_id: requestId, response: { mode: "plan", model: "other" } };
    const line = decodeLine(new TextEncoder().encode(JSON.stringify({ type: "control_response", response: answer })));
    const context = { sessionId: "sesn_1", workspaceMount: "/mnt/workspace", scripted: false };
    const { events, signals, state } = mapLine(createMapperState(), line, context);
    expect([events, state.mode]).toEqual([[], undefined]);
    expect(signals).toMatchObject([{ type: "control_response", requestId, ok: true }]);
    expect(line.kind === "json" && isStateAnswer(line.value)).toBe(true);
    expect(isStateAnswer({ type: "control_response", response: { request_id: "settings-1-model" } })).toBe(false);
  });
});
