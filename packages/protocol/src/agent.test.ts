import { describe, expect, test } from "vitest";
import { type Bound, misjudged, withAt, wordsFor, wrongAt } from "../test/_kit.ts";
import { agentCreate, effortNames, toolNames, toolsetParams } from "../test/examples/agents.ts";
import {
  AgentCreate,
  AgentModelParams,
  AgentOverrides,
  AgentToolsetParams,
  AgentUpdate,
  agentToolNames,
  ModelId,
} from "./agent.ts";

const least = { name: "a", model: "opus" };

test("an agent needs a name and a model, and nothing else", () => {
  expect(AgentCreate.parse(least)).toEqual(least);
  expect(wrongAt(AgentCreate, {})).toEqual(["name", "model"]);
});

test("an update may change nothing", () => {
  expect(AgentUpdate.parse({})).toEqual({});
  expect(AgentOverrides.parse({})).toEqual({});
});

test("an update tells null from absent", () => {
  const cleared = { description: null, system: null, tools: null, execution_identity: null, metadata: null };
  expect(AgentUpdate.parse(cleared)).toEqual(cleared);
  expect(AgentUpdate.parse({ metadata: { team: null } })).toEqual({ metadata: { team: null } });
  expect(wrongAt(AgentCreate, { ...least, metadata: { team: null } })).toEqual(["metadata.team"]);
});

const bounds: Bound[] = [
  {
    rule: "a name has 1 to 256 characters",
    at: "name",
    takes: ["a", "n".repeat(256), "Ünï 😀"],
    refuses: ["", "n".repeat(257)],
  },
  {
    rule: "a description has up to 2048 characters",
    at: "description",
    takes: ["", "d".repeat(2048), null],
    refuses: ["d".repeat(2049)],
  },
  {
    rule: "a system prompt has up to 100000 characters",
    at: "system",
    takes: ["", "s".repeat(100_000), null],
    refuses: ["s".repeat(100_001)],
  },
  {
    rule: "a system prompt is below 120000 bytes, which is what one argument of a program may have",
    at: "system",
    takes: ["é".repeat(59_999), "😀".repeat(29_999)],
    refuses: ["é".repeat(60_000), "😀".repeat(30_000), "€".repeat(40_000)],
  },
  {
    rule: "a system prompt has no NUL, which would end the argument",
    at: "system",
    takes: ["a\u0001b", "two\nlines"],
    refuses: ["a\u0000b", "\u0000"],
  },
  {
    rule: "an agent has one toolset at the most",
    at: "tools",
    takes: [[], [toolsetParams]],
    refuses: [[toolsetParams, toolsetParams]],
  },
  {
    rule: "a toolset has up to 32 configurations",
    at: "tools.0.configs",
    takes: [[], Array.from({ length: 32 }, () => ({ name: "bash" }))],
    refuses: [Array.from({ length: 33 }, () => ({ name: "bash" }))],
  },
  {
    rule: "a toolset is ours",
    at: "tools.0.type",
    takes: ["agent_toolset_20260401"],
    refuses: ["agent_toolset_20270101", "custom", "mcp_toolset"],
  },
  {
    rule: "it acts as the service's own account",
    at: "execution_identity",
    takes: [null, { type: "service_account" }],
    refuses: ["service_account"],
  },
];

describe.each([
  ["AgentCreate", AgentCreate],
  ["AgentUpdate", AgentUpdate],
])("%s", (_name, schema) => {
  test.each(bounds)("$rule", (bound) => {
    expect(misjudged(schema, agentCreate, bound)).toEqual([]);
  });
});

test("an update names a version from 1 on", () => {
  const bound = {
    rule: "",
    at: "version",
    takes: [1, 1_000_000],
    refuses: [0, -1, 1.5, "1", null, Number.NaN, 2 ** 53],
  };
  expect(misjudged(AgentUpdate, { version: 1 }, bound)).toEqual([]);
});

const models: Bound[] = [
  {
    rule: "a model's id has 1 to 128 characters",
    at: "",
    takes: ["m", `m${"x".repeat(127)}`],
    refuses: ["", `m${"x".repeat(128)}`],
  },
  {
    rule: "a model's id may be of another provider",
    at: "",
    takes: ["claude-opus-4-8", "us.anthropic.claude-v1:0", "opus[1m]", "org/model@2026", "claude_3"],
    refuses: [],
  },
  {
    rule: "a model's id is no option of a command, and holds nothing that a shell reads",
    at: "",
    takes: [],
    refuses: ["-p", "--model", "a b", "a;b", "a\nb", "opus\n", "$(id)", "`id`", "a'b", 'a"b', "a\u0000b", "ä", "[1m]"],
  },
];

test.each(models)("$rule", (bound) => {
  expect(misjudged(ModelId, "", bound)).toEqual([]);
  expect(misjudged(AgentModelParams, "", bound)).toEqual([]);
  expect(misjudged(AgentModelParams, { id: "" }, { ...bound, at: "id" })).toEqual([]);
});

test.each(effortNames)("a model thinks with the effort %s, in both ways of writing it", (effort) => {
  for (const said of [effort, { type: effort }])
    expect(AgentModelParams.parse({ id: "opus", effort: said })).toEqual({ id: "opus", effort: said });
});

test("an effort that is none is told which there are", () => {
  for (const effort of ["ultra", 5, { type: "none" }])
    expect(wordsFor(AgentModelParams, { id: "opus", effort })).toEqual([
      "effort: must be one of low, medium, high, xhigh, max",
    ]);
});

test("the tools are those of the toolset, in its order", () => {
  expect(agentToolNames).toEqual(toolNames);
});

test.each(toolNames)("the tool %s can be set", (name) => {
  const set = { type: "agent_toolset_20260401", configs: [{ name, enabled: false }] };
  expect(AgentToolsetParams.parse(set)).toEqual(set);
});

test.each([
  ["a tool that nobody knows", "configs.0.name", "shell"],
  ["a tool of another case", "configs.0.name", "Bash"],
  ["a judge beside the model", "configs.0.permission_policy.type", "auto"],
  ["a switch in words", "default_config.enabled", "yes"],
])("%s is refused where it stands", (_what, at, value) => {
  expect(wrongAt(AgentToolsetParams, withAt(toolsetParams, at, value))).toEqual([at]);
});

test("what is not supported says so in words", () => {
  const agent = withAt(withAt(agentCreate, "tools.0.type", "custom"), "execution_identity.type", "user");
  expect(wordsFor(AgentCreate, agent)).toEqual([
    "must be agent_toolset_20260401; others are not supported",
    "only service_account is supported",
  ]);
});

test("a session's own tools keep the agent's bounds", () => {
  for (const at of ["model", "system", "tools"]) {
    const value = { model: "-p", system: "\u0000", tools: [toolsetParams, toolsetParams] }[at];
    expect(wrongAt(AgentOverrides, { [at]: value })).toEqual([at]);
  }
});
