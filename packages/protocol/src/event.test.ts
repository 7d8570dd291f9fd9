import { describe, expect, test } from "vitest";
import { wrongAt } from "../test/_kit.ts";
import { events } from "../test/examples/events.ts";
import { SessionEvent, type SessionEventType, StopReason } from "./event.ts";

const types = [
  "user.message",
  "user.interrupt",
  "user.tool_confirmation",
  "holdfast.message",
  "agent.message",
  "agent.thinking",
  "agent.tool_use",
  "agent.tool_result",
  "agent.thread_context_compacted",
  "session.status_running",
  "session.status_idle",
  "session.status_terminated",
  "session.updated",
  "session.deleted",
  "session.error",
  "holdfast.initialized",
  "holdfast.turn_result",
  "holdfast.step",
  "holdfast.notice",
  "holdfast.permission_request",
  "holdfast.permission_resolved",
  "holdfast.background",
  "holdfast.wakeup",
  "holdfast.todos",
  "holdfast.other",
] satisfies SessionEventType[];

test("the log has these types: what was stored stays readable", () => {
  expect(SessionEvent.options.map(({ shape }) => shape.type.value).sort()).toEqual([...types].sort());
});

test("every type has an example", () => {
  expect(Object.keys(events).sort()).toEqual([...types].sort());
});

describe.each(types)("an event %s", (type) => {
  const event = events[type];

  test.each(["id", "seq", "processed_at"])("has its %s", (field) => {
    expect(wrongAt(SessionEvent, { ...event, [field]: undefined })).toEqual([field]);
  });

  test("has a place in the log that is a number", () => {
    for (const seq of ["7", 7.5, null, Number.NaN, 2 ** 53])
      expect(wrongAt(SessionEvent, { ...event, seq })).toEqual(["seq"]);
  });

  test("is of no other type with other fields", () => {
    const { id, seq, processed_at } = event;
    const bare = { id, seq, processed_at, type };
    const needsNoMore = [
      ...["user.interrupt", "agent.thinking", "agent.thread_context_compacted", "session.status_running"],
      ...["session.status_terminated", "session.updated", "session.deleted"],
    ];
    expect(wrongAt(SessionEvent, bare).length === 0).toBe(needsNoMore.includes(type));
  });
});

test.each([undefined, null, "", "user.messages", "USER.MESSAGE", "__proto__", "toString", 5, ["user.message"]])(
  "an event of the type %j is none",
  (type) => {
    expect(wrongAt(SessionEvent, { ...events["session.deleted"], type })).toEqual(["type"]);
  },
);

test.each([
  ["end_turn", { type: "end_turn" }],
  ["requires_action", { type: "requires_action", event_ids: ["sevt_1", "sevt_2"] }],
  ["requires_action without any", { type: "requires_action", event_ids: [] }],
  ["retries_exhausted", { type: "retries_exhausted" }],
])("a turn may stop for %s", (_name, reason) => {
  expect(StopReason.parse(reason)).toEqual(reason);
  const idle = { ...events["session.status_idle"], stop_reason: reason };
  expect(SessionEvent.parse(idle)).toEqual(idle);
});

test.each([
  ["an unknown reason", { type: "max_tokens" }, "type"],
  ["an action that is not named", { type: "requires_action" }, "event_ids"],
  ["an action of one name", { type: "requires_action", event_ids: "sevt_1" }, "event_ids"],
  ["a reason in words", "end_turn", ""],
])("a turn does not stop for %s", (_name, reason, at) => {
  expect(wrongAt(StopReason, reason)).toEqual([at]);
});

test.each(["user.message", "agent.tool_result"] as const)("%s has texts and images in any order, or none", (type) => {
  const [text, image] = events[type].content;
  for (const content of [[], [text], [image], [image, text, image]])
    expect(SessionEvent.parse({ ...events[type], content })).toEqual({ ...events[type], content });
});

test("the model says texts alone", () => {
  const [, image] = events["user.message"].content;
  expect(wrongAt(SessionEvent, { ...events["agent.message"], content: [image] })).toContain("content.0.type");
});

test("a tool may be called with anything that has names", () => {
  const next = { ...events["agent.tool_use"] };
  for (const input of [{}, { deep: { a: [1, { b: null }] } }, { "": 0, "with blanks": true }])
    expect(SessionEvent.parse({ ...next, input })).toEqual({ ...next, input });
  for (const input of [[], "ls", null, 5]) expect(wrongAt(SessionEvent, { ...next, input })).toEqual(["input"]);
});

test.each([null, false, 0, "", [], {}, { deep: [1] }, "a line"])(
  "a line that nobody knows is kept whole: %j",
  (line) => {
    const other = { ...events["holdfast.other"], line };
    expect(SessionEvent.parse(other)).toEqual(other);
  },
);

test("the counts of a step are real: without a total where none is known", () => {
  const step = { ...events["holdfast.step"], progress: { done: 3, total: null, unit: "files" } };
  expect(SessionEvent.parse(step)).toEqual(step);
  expect(wrongAt(SessionEvent, { ...step, progress: { done: 3, unit: "files" } })).toEqual(["progress.total"]);
});

test("an update says what was changed: null is a title that was taken away, absent one that stays", () => {
  const { title: _title, ...same } = events["session.updated"];
  expect(SessionEvent.parse(same)).toEqual(same);
  expect(SessionEvent.parse({ ...same, title: null })).toEqual({ ...same, title: null });
});

test("what a later server adds to an event does not stop a client of today", () => {
  const later = { ...events["agent.message"], new_field: 1, holdfast: { aborted: true, new_field: 2 } };
  expect(SessionEvent.parse(later)).toEqual({ ...events["agent.message"], holdfast: { aborted: true } });
});

test("what would be an object's prototype is no field of a tool's input", () => {
  const sent: unknown = JSON.parse(JSON.stringify(events["agent.tool_use"]).replace('"command"', '"__proto__"'));
  const { input } = SessionEvent.parse(sent) as (typeof events)["agent.tool_use"];
  expect(Object.getPrototypeOf(input)).toBe(Object.prototype);
  expect(Object.keys(input)).toEqual([]);
});
