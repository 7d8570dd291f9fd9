import { expect, test } from "vitest";
import { type Bound, misjudged, wrongAt } from "../test/_kit.ts";
import { effortNames } from "../test/examples/agents.ts";
import { permissionModes } from "../test/examples/messages.ts";
import { SessionUpdate } from "./resource.ts";
import { PermissionMode, SessionSettings, SettingsChange } from "./settings.ts";

test("the modes are those of Claude Code, the most careful one first", () => {
  expect(PermissionMode.options).toEqual(permissionModes);
});

test.each(permissionModes)("the mode %s alone can be set", (permission_mode) => {
  expect(SettingsChange.parse({ permission_mode })).toEqual({ permission_mode });
});

test.each(effortNames)("the effort %s alone can be set", (effort) => {
  expect(SettingsChange.parse({ effort })).toEqual({ effort });
});

test("a change of nothing is one", () => {
  expect(SettingsChange.parse({})).toEqual({});
});

test("null goes back to the agent's, absent leaves what is", () => {
  expect(SettingsChange.parse({ model: null })).toEqual({ model: null });
  expect(SettingsChange.parse({ effort: null })).toEqual({ effort: null });
  expect("model" in SettingsChange.parse({ effort: "low" })).toBe(false);
});

const bounds: Bound[] = [
  {
    rule: "a session always has a mode",
    at: "permission_mode",
    takes: ["default"],
    refuses: [null, "", "auto", "Plan", "bypass", ["plan"]],
  },
  {
    rule: "a model is one that may stand in a command",
    at: "model",
    takes: ["opus", "claude-opus-4-8", "opus[1m]", `m${"x".repeat(127)}`],
    refuses: ["", "-p", "a b", "a\n", `m${"x".repeat(128)}`, 5, { id: "opus" }],
  },
  {
    rule: "an effort is a word of the list",
    at: "effort",
    takes: ["low", "max"],
    refuses: ["", "none", "LOW", 3, { type: "low" }],
  },
];

test.each(bounds)("$rule", (bound) => {
  expect(misjudged(SettingsChange, {}, bound)).toEqual([]);
});

test.each(bounds)("$rule, in an update of a session too", (bound) => {
  const at = `holdfast.settings.${bound.at}`;
  expect(misjudged(SessionUpdate, { holdfast: { settings: {} } }, { ...bound, at })).toEqual([]);
});

test("a setting that nobody knows is named", () => {
  expect(wrongAt(SettingsChange, { permissionMode: "plan" })).toEqual(["permissionMode"]);
  expect(wrongAt(SettingsChange, { fast: true, model: "opus" })).toEqual(["fast"]);
});

test("what a session is set to may be a later name of Claude Code's own", () => {
  const later = { permission_mode: "auto", model: "some model", effort: "ultra" };
  expect(SessionSettings.parse(later)).toEqual(later);
});
