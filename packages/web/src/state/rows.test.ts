import type { NewEvent, SessionEvent, SessionStatus } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { decodeEvent, decodeFrame } from "./decode.ts";
import { emptyLog, reduce, type SessionLog } from "./log.ts";
import { type OutboxItem, reduceOutbox, restoreOutbox } from "./outbox.ts";
import { type Row, RowBuilder } from "./rows.ts";

function logOf(...events: NewEvent[]): SessionLog {
  return reduce(
    emptyLog,
    events.map((event, i) => ({
      type: "event",
      event: { id: `e${i + 1}`, ...event, seq: i + 1, processed_at: "2026-11-23T10:00:00Z" } as SessionEvent,
    })),
  );
}
function activityOf(log: SessionLog, outbox: readonly OutboxItem[], listed: SessionStatus | undefined) {
  const builder = new RowBuilder();
  builder.read(log);
  return builder.activity.activity(log, outbox, listed);
}
const rowsOf = (...events: NewEvent[]) => new RowBuilder().build(logOf(...events), []);
const kinds = (rows: readonly Row[]) => rows.map((row) => row.kind);

const user: NewEvent = { type: "user.message", content: [{ type: "text", text: "hi" }] };
const said: NewEvent = { type: "agent.message", content: [{ type: "text", text: "hello" }] };
const running: NewEvent = { type: "session.status_running" };
const idle = (outcome: "completed" | "stopped" | "failed" | "interrupted"): NewEvent => ({
  type: "session.status_idle",
  stop_reason: { type: "end_turn" },
  stop_details: null,
  holdfast: { outcome },
});
const use = (id: string, name = "Bash"): NewEvent => ({
  type: "agent.tool_use",
  id,
  name,
  input: {},
  evaluated_permission: "allow",
  holdfast: { tool_use_id: "toolu_1" },
});
const result = (id: string, is_error = false): NewEvent => ({
  type: "agent.tool_result",
  tool_use_id: id,
  content: [],
  is_error,
});
const step = (id: string, state: "running" | "done" | "failed"): NewEvent => ({
  type: "holdfast.step",
  step_id: id,
  step: "permissions",
  state,
  title: id,
});
const retry = (text: string): NewEvent => ({
  type: "holdfast.notice",
  kind: "api_retry",
  level: "warning",
  text,
  retry_delay_ms: 1_000,
});
const init = (first: boolean): NewEvent => ({
  type: "holdfast.initialized",
  first,
  claude_session_id: "",
  model: "m",
  cwd: "/",
  permission_mode: "",
  claude_code_version: "",
  tools: [],
  mcp_servers: [],
  scripted: false,
});
const sessionError: NewEvent = {
  type: "session.error",
  error: { type: "unknown_error", message: "no", retry_status: { type: "terminal" } },
};

test("a tool call and its result are one row", () => {
  const rows = rowsOf(user, use("t1"), use("t2"), result("t2", true), result("t1"));
  expect(kinds(rows)).toEqual(["user", "tool", "tool"]);
  expect(rows.map((row) => row.kind === "tool" && row.state)).toEqual([false, "ok", "error"]);
});

test("a result without its call is shown alone", () => {
  expect(rowsOf(result("elsewhere"))).toMatchObject([{ kind: "tool", use: null, state: "ok" }]);
});

test("a tool that the turn left behind does not run for ever", () => {
  expect(rowsOf(user, running, use("t1"), idle("stopped"))[1]).toMatchObject({ state: "error", abandoned: true });
});

test("only the first start of Claude makes a line", () => {
  expect(kinds(rowsOf(init(true), init(false), init(false)))).toEqual(["init"]);
});

test("steps of one kind of work are one list, and the same step again replaces what was said", () => {
  const rows = rowsOf(user, step("a", "running"), step("a", "done"), step("b", "running"), said, step("b", "done"));
  expect(kinds(rows)).toEqual(["user", "steps", "text"]);
  expect(rows[1]).toMatchObject({
    steps: [
      { step_id: "a", state: "done" },
      { step_id: "b", state: "done" },
    ],
  });
});

test("a step that begins again after the next message is a new list", () => {
  const rows = rowsOf(user, step("a", "done"), said, idle("completed"), user, step("a", "running"));
  expect(kinds(rows)).toEqual(["user", "steps", "text", "user", "steps"]);
});

test("a chain of retries is one line that says the newest", () => {
  const rows = rowsOf(user, retry("1 of 10"), retry("2 of 10"));
  expect(rows[1]).toMatchObject({ kind: "notice", text: "2 of 10" });
  expect(rows).toHaveLength(2);
});

test("an end that nobody told is told; one that was told is not told twice", () => {
  expect(kinds(rowsOf(user, running, idle("interrupted")))).toEqual(["user", "result"]);
  expect(kinds(rowsOf(user, running, sessionError, idle("failed")))).toEqual(["user", "error"]);
  expect(kinds(rowsOf(user, running, said, idle("completed")))).toEqual(["user", "text"]);
});

test("only the newest todo list is open", () => {
  const rows = rowsOf(user, use("t1", "TodoWrite"), use("t2", "TodoWrite"));
  expect(rows.map((row) => row.kind === "tool" && row.superseded)).toEqual([false, true, false]);
});

test("rows keep their identity when the log grows, and the array when nothing changed", () => {
  const builder = new RowBuilder();
  const log = logOf(user, use("t1"), said);
  const before = builder.build(log, []);
  const more = reduce(log, [
    { type: "event", event: { ...said, id: "e4", seq: 4, processed_at: "" } as SessionEvent },
    { type: "draft", frame: { type: "event_start", event: { type: "agent.thinking", id: "d" } } },
  ]);
  const after = builder.build(more, []);
  expect(after.slice(0, 3)).toEqual(before);
  expect(after.every((row, i) => i > 2 || row === before[i])).toBe(true);
  expect(builder.build(more, [])).toBe(after);
});

test("typing is shown from the message to the first content, and not after an error", () => {
  const typing = (...events: NewEvent[]) => activityOf(logOf(...events), [], undefined).typing;
  expect(typing(user, running)).toBe(true);
  expect(typing(user, running, step("a", "running"), init(true))).toBe(true);
  expect(typing(user, running, said)).toBe(false);
  expect(typing(user, running, sessionError)).toBe(false);
  expect(typing(user, running, idle("completed"))).toBe(false);
  const sending: OutboxItem = { clientId: "c", text: "x", atMs: 0, state: "sending" };
  expect(activityOf(emptyLog, [sending], undefined).typing).toBe(true);
});

test("activity names what runs", () => {
  expect(activityOf(logOf(user, running, use("t1")), [], undefined)).toMatchObject({
    working: true,
    doing: "Running Bash",
  });
  expect(activityOf(logOf(user, running, use("t1"), result("t1")), [], undefined).doing).toBeNull();
  expect(activityOf(logOf(user, running, step("a", "running"), step("a", "done")), [], undefined).doing).toBeNull();
});

test("unknown and broken events are shown raw, not dropped and not fatal", () => {
  const unknown = decodeEvent({ type: "agent.hologram", id: "x", seq: 3, processed_at: "", body: 1 });
  expect(unknown).toMatchObject({ type: "holdfast.other", line_type: "agent.hologram", seq: 3 });
  expect(decodeEvent({ type: "agent.message", id: "x", seq: 3, content: "no array" })).toMatchObject({
    type: "holdfast.other",
  });
  expect(decodeEvent({ type: "constructor", id: "x", seq: 3 })).toMatchObject({ type: "holdfast.other" });
  for (const junk of [null, 1, "x", [], {}, { type: "x" }, { type: "agent.message", seq: -1 }, { type: 3, seq: 1 }])
    expect(decodeEvent(junk)).toBeNull();
  expect(decodeFrame({ type: "event_delta", event_id: "a", delta: {} })).toEqual({ kind: "ignored" });
});

test("the outbox keeps a message until the log has it, by event or by client id", () => {
  let items = reduceOutbox([], { type: "queued", clientId: "c1", text: "a", atMs: 5 });
  items = reduceOutbox(items, { type: "queued", clientId: "c1", text: "a", atMs: 5 });
  expect(items).toHaveLength(1);
  items = reduceOutbox(items, { type: "acknowledged", clientId: "c1", eventId: "e1" });
  expect(reduceOutbox(items, { type: "arrived", has: () => false, clientIds: new Set() })).toBe(items);
  expect(reduceOutbox(items, { type: "arrived", has: (id) => id === "e1", clientIds: new Set() })).toEqual([]);
  expect(reduceOutbox(items, { type: "arrived", has: () => false, clientIds: new Set(["c1"]) })).toEqual([]);
});

test("a message from long ago is not sent again by itself", () => {
  const item: OutboxItem = { clientId: "c", text: "x", atMs: 0, state: "sending" };
  expect(restoreOutbox([item], 60_000)[0]?.state).toBe("sending");
  expect(restoreOutbox([item], 10 * 60_000)[0]?.state).toBe("failed");
});

const request = (useId: string, kind: "tool" | "question" | "plan", more: object = {}): NewEvent => ({
  type: "holdfast.permission_request",
  tool_use_id: useId,
  kind,
  tool_name: "Bash",
  title: "May it?",
  description: "",
  input: {},
  reason: null,
  blocked_path: null,
  can_allow: true,
  suggestions: [],
  ...more,
});
const resolved = (useId: string, outcome: "allowed" | "denied"): NewEvent => ({
  type: "holdfast.permission_resolved",
  tool_use_id: useId,
  outcome,
});
const confirmation = (useId: string): NewEvent => ({
  type: "user.tool_confirmation",
  tool_use_id: useId,
  result: "allow",
});

test("a question is a row of its own, open until it is resolved; its tool waits meanwhile", () => {
  const builder = new RowBuilder();
  const events = [user, running, use("t1"), request("t1", "tool"), use("t2"), request("t2", "tool")];
  builder.build(logOf(...events), []);
  expect(builder.openQuestions.map((row) => row.request.tool_use_id)).toEqual(["t1", "t2"]);
  const before = builder.openQuestions;
  const rows = builder.build(logOf(...events, confirmation("t1"), resolved("t1", "allowed")), []);
  expect(kinds(rows)).toEqual(["user", "tool", "question", "tool", "question"]);
  expect(builder.openQuestions).toHaveLength(1);
  expect(builder.openQuestions[0]?.id).toBe(before[1]?.id);
  expect(rows.map((row) => row.kind === "tool" && row.asking)).toEqual([false, false, false, true, false]);
  const ended = builder.build(logOf(...events, idle("interrupted")), []);
  expect(builder.openQuestions).toEqual([]);
  expect(ended.filter((row) => row.kind === "question" && row.over)).toHaveLength(2);
});

test("the card of choices or of a plan takes the place of its tool; asked again it is the same row", () => {
  const rows = rowsOf(
    user,
    running,
    use("t1", "ExitPlanMode"),
    request("t1", "plan"),
    request("t1", "plan"),
    result("t1"),
  );
  expect(kinds(rows)).toEqual(["user", "question"]);
});

test("an answer to a question of an older log is still told", () => {
  expect(kinds(rowsOf(user, running, use("t1"), confirmation("t1")))).toEqual(["user", "tool", "notice"]);
});
