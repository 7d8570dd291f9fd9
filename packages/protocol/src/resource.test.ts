import { expect, test } from "vitest";
import { type Bound, misjudged, withAt, wordsFor, wrongAt } from "../test/_kit.ts";
import { toolsetParams } from "../test/examples/agents.ts";
import { textBlock } from "../test/examples/messages.ts";
import { sendEvents, sessionCreate, sessionStatuses } from "../test/examples/sessions.ts";
import { workspace } from "../test/examples/workspaces.ts";
import {
  SendEvents,
  SessionCreate,
  SessionStatus,
  SessionUpdate,
  WorkspaceName,
  workspaceMetadataKey,
} from "./resource.ts";
import { Workspace, WorkspaceWrite } from "./workspace.ts";

const names: Bound[] = [
  { rule: "has 1 to 64 characters", at: "", takes: ["a", "0", "a".repeat(64)], refuses: ["", "a".repeat(65)] },
  {
    rule: "has small letters, digits, - and _",
    at: "",
    takes: ["main", "a-b_c", "0-0", "a-", "a_"],
    refuses: ["Main", "a b", "a.b", "ä", "a\u0000", "a\n", "\na", "a\nb", "😀"],
  },
  { rule: "begins with a letter or digit", at: "", takes: ["a-", "1_"], refuses: ["-a", "_a", "-", "_"] },
  { rule: "is no path", at: "", takes: [], refuses: [".", "..", "a/b", "/a", "a\\b", "../a", "%2e"] },
  { rule: "is a text", at: "", takes: [], refuses: [null, 5, ["a"], { name: "a" }] },
];

test.each(names)("a workspace's name $rule", (bound) => {
  expect(misjudged(WorkspaceName, "a", bound)).toEqual([]);
  expect(misjudged(WorkspaceWrite, { name: "a" }, { ...bound, at: "name" })).toEqual([]);
});

test("a name that is none says what one has", () => {
  expect(wordsFor(WorkspaceName, "A")).toEqual(["has 1 to 64 small letters, digits, - and _, the first no - or _"]);
});

test("an older workspace's name is shown as it is", () => {
  expect(Workspace.parse({ ...workspace, name: "Old Name" }).name).toBe("Old Name");
});

test("a session needs nothing to be said", () => {
  expect(SessionCreate.parse({})).toEqual({});
  expect(SessionUpdate.parse({})).toEqual({});
});

test("a session's workspace stands in its metadata", () => {
  const create = { metadata: { [workspaceMetadataKey]: "main" } };
  expect(SessionCreate.parse(create)).toEqual({ metadata: { "holdfast.workspace": "main" } });
});

test("the states are those of Managed Agents", () => {
  expect(SessionStatus.options).toEqual(sessionStatuses);
});

const id = "agent_01K3V6F7Q8ABCDEFGHJKMNPQRS";

test.each([
  ["by its id", id],
  ["in an object", { type: "agent", id }],
  ["in a version", { type: "agent", id, version: 3 }],
  [
    "with other words",
    { type: "agent_with_overrides", id, version: 1, model: "opus", system: null, tools: [toolsetParams] },
  ],
  ["with no other words", { type: "agent_with_overrides", id }],
  ["with empty lists of what is not supported", { type: "agent_with_overrides", id, mcp_servers: [], skills: [] }],
])("an agent is chosen %s", (_how, agent) => {
  expect(SessionCreate.parse({ agent })).toEqual({ agent });
});

test.each([
  ["of another type", { type: "human", id }],
  ["of no type", { id }],
  ["without an id", { type: "agent" }],
  ["with other words that it may not have", { type: "agent", id, system: "You review." }],
  ["with another field", { type: "agent_with_overrides", id, name: "Reviewer" }],
  ["with MCP servers", { type: "agent_with_overrides", id, mcp_servers: [{ name: "docs" }] }],
  ["with skills", { type: "agent_with_overrides", id, skills: ["pdf"] }],
  ["of nothing", null],
  ["of several", [id]],
])("an agent %s is refused", (_how, agent) => {
  expect(wrongAt(SessionCreate, { agent })[0]).toMatch(/^agent/);
});

test.each(["agent", "agent_with_overrides"])("the version of an %s is from 1 to a thousand million", (type) => {
  const version = (value: unknown) => wrongAt(SessionCreate, { agent: { type, id, version: value } }).length > 0;
  expect([1, 1_000_000_000].filter(version)).toEqual([]);
  expect([0, -1, 1_000_000_001, 1.5, "1", null, 2 ** 53].filter((value) => !version(value))).toEqual([]);
});

const bounds: Bound[] = [
  {
    rule: "a title has up to 200 characters",
    at: "title",
    takes: ["", "t".repeat(200), null],
    refuses: ["t".repeat(201), 5],
  },
  {
    rule: "ours are settings and nothing else",
    at: "holdfast",
    takes: [{}, { settings: {} }],
    refuses: [null, [], "x"],
  },
];

test.each(bounds)("$rule", (bound) => {
  expect(misjudged(SessionCreate, sessionCreate, bound)).toEqual([]);
  expect(misjudged(SessionUpdate, {}, bound)).toEqual([]);
});

test("a session begins with up to 50 messages, and with nothing but messages", () => {
  const messages = (length: number) => Array.from({ length }, () => ({ type: "user.message", content: [textBlock] }));
  expect(wrongAt(SessionCreate, { initial_events: messages(50) })).toEqual([]);
  expect(wrongAt(SessionCreate, { initial_events: messages(51) })).toEqual(["initial_events"]);
  expect(wrongAt(SessionCreate, { initial_events: [{ type: "user.interrupt" }] })).toContain("initial_events.0.type");
});

const sent: Bound[] = [
  {
    rule: "1 to 100 events are sent at once",
    at: "events",
    takes: [[{ type: "user.interrupt" }], Array.from({ length: 100 }, () => ({ type: "user.interrupt" }))],
    refuses: [[], Array.from({ length: 101 }, () => ({ type: "user.interrupt" })), null, {}],
  },
  { rule: "a session has one thread", at: "events.1.session_thread_id", takes: [null], refuses: ["thread_1", 5, {}] },
  {
    rule: "an answer names a tool call by 1 to 200 characters",
    at: "events.2.tool_use_id",
    takes: ["s", "s".repeat(200)],
    refuses: ["", "s".repeat(201), null, 5],
  },
  {
    rule: "a denial is told in up to 10000 characters",
    at: "events.2.deny_message",
    takes: ["", "d".repeat(10_000), null],
    refuses: ["d".repeat(10_001), 5],
  },
  {
    rule: "an answer allows or denies",
    at: "events.2.result",
    takes: ["allow", "deny"],
    refuses: ["ask", "", null, true],
  },
];

test.each(sent)("$rule", (bound) => {
  expect(misjudged(SendEvents, sendEvents, bound)).toEqual([]);
});

test("an interrupt needs no more than its type", () => {
  expect(SendEvents.parse({ events: [{ type: "user.interrupt" }] })).toEqual({ events: [{ type: "user.interrupt" }] });
});

test("one thread is said in words", () => {
  const asked = withAt(sendEvents, "events.1.session_thread_id", "thread_1");
  expect(wordsFor(SendEvents, asked)).toEqual(["sessions have one thread"]);
});

test.each(["agent.message", "session.status_idle", "holdfast.step", "user.custom_tool_result", "user.define_outcome"])(
  "no client sends %s",
  (type) => {
    expect(wrongAt(SendEvents, { events: [{ type, content: [] }] })).toEqual(["events.0.type"]);
  },
);

test("each wrong event is named by its place", () => {
  const events = [
    { type: "user.interrupt" },
    { type: "user.message" },
    { type: "user.tool_confirmation", result: "allow" },
  ];
  expect(wrongAt(SendEvents, { events })).toEqual(["events.1.content", "events.2.tool_use_id"]);
});
