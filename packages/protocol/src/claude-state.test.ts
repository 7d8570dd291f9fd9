import { describe, expect, test } from "vitest";
import { withAt, without, wrongAt } from "../test/_kit.ts";
import { claudeStateSchemas, claudeStates } from "../test/examples/claude-states.ts";
import { claudeStateNames } from "./claude-state.ts";
import { api } from "./routes.ts";

const names = ["context", "models", "mcp", "permissions", "commands", "files", "settings", "usage", "hooks", "plan"];

test("Claude Code can be asked these", () => {
  expect(claudeStateNames).toEqual(names);
  expect(Object.keys(claudeStates)).toEqual(names);
});

describe.each(claudeStateNames)("the %s", (name) => {
  test("says when it was known, and whether it still is", () => {
    for (const field of ["live", "as_of"]) {
      expect(wrongAt(claudeStateSchemas[name], without(claudeStates[name], field))).toEqual([field]);
    }
    const old = { ...claudeStates[name], live: false };
    expect(claudeStateSchemas[name].parse(old)).toEqual(old);
  });

  test("is what its route answers with", () => {
    const { schema } = api.claudeState[name].ok;
    expect(schema.parse(claudeStates[name])).toEqual(claudeStates[name]);
    const other = name === "plan" ? claudeStates.usage : claudeStates.plan;
    expect(wrongAt(schema, other)).not.toEqual([]);
  });

  test("has a route of its own name, which starts nothing unless it is asked to", () => {
    const { path, method, query } = api.claudeState[name];
    expect([method, path]).toEqual(["get", `/v1/sessions/{id}/claude/${name}`]);
    expect(query.start.schema.parse(undefined)).toBe(false);
  });
});

test("no state is another one", () => {
  for (const name of claudeStateNames) {
    const like = claudeStateNames.filter(
      (other) => wrongAt(claudeStateSchemas[other], claudeStates[name]).length === 0,
    );
    expect(like).toEqual([name]);
  }
});

test.each([
  ["context", "memory_files"],
  ["models", "models"],
  ["mcp", "servers"],
  ["permissions", "rules"],
  ["commands", "commands"],
  ["files", "files"],
  ["settings", "permission_rules"],
  ["usage", "models"],
  ["hooks", "hooks"],
] as const)("the %s may have no %s", (name, list) => {
  expect(wrongAt(claudeStateSchemas[name], { ...claudeStates[name], [list]: [] })).toEqual([]);
});

test("a session without a plan has none", () => {
  const none = { ...claudeStates.plan, exists: false, text: null, path: null };
  expect(claudeStateSchemas.plan.parse(none)).toEqual(none);
});

test.each(["cost_usd", "api_duration_ms", "duration_ms"])("a use's %s is a number", (field) => {
  for (const value of [Number.NaN, Infinity, "1", null])
    expect(wrongAt(claudeStateSchemas.usage, withAt(claudeStates.usage, field, value))).toEqual([field]);
});

test("tokens are whole, and only a share of them has parts", () => {
  const context = (at: string, value: unknown) =>
    wrongAt(claudeStateSchemas.context, withAt(claudeStates.context, at, value));
  expect(context("used_tokens", 0.5)).toEqual(["used_tokens"]);
  expect(context("skills.0.tokens", 0.5)).toEqual(["skills.0.tokens"]);
  expect(context("percent_used", 99.95)).toEqual([]);
});

test("secrets and environments have no place in what Claude Code says", () => {
  const leaky = withAt(claudeStates.mcp, "servers.0.env", { API_KEY: "secret" });
  expect(JSON.stringify(claudeStateSchemas.mcp.parse(leaky))).not.toContain("secret");
  const hook = withAt(claudeStates.hooks, "hooks.0.headers", { authorization: "secret" });
  expect(JSON.stringify(claudeStateSchemas.hooks.parse(hook))).not.toContain("secret");
});

const { query } = api.claudeState.files.query;

test("files are asked for by up to 256 characters, and without any for the top", () => {
  expect(query.schema.parse(undefined)).toBe("");
  expect(query.schema.parse("q".repeat(256))).toHaveLength(256);
  expect(wrongAt(query.schema, "q".repeat(257))).toEqual([""]);
});
