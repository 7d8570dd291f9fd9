import { expect, test } from "vitest";
import { wrongAt } from "../test/_kit.ts";
import { drafts, events } from "../test/examples/events.ts";
import { session, verdict } from "../test/examples/sessions.ts";
import { DraftFrame, SessionEvent } from "./event.ts";
import { newId } from "./ids.ts";
import { StreamFrame } from "./routes/events.ts";
import { draftTypes, MultiStreamStart, maxStreamSessions, StreamStart, StreamVerdict } from "./stream.ts";

test.each(["ok", "gap"] as const)("a stream begins with the verdict %s, from a cursor or without", (said) => {
  for (const resumed of [true, false]) {
    const start = { type: "holdfast.stream", ...verdict, verdict: said, resumed };
    expect(StreamStart.parse(start)).toEqual(start);
  }
});

test("an empty session's stream begins before its first event", () => {
  const start = { verdict: "ok", resumed: false, after: 0, last_seq: 0 };
  expect(StreamVerdict.parse(start)).toEqual(start);
});

test("a stream of many sessions may be of none that exist", () => {
  expect(MultiStreamStart.parse({ type: "holdfast.stream", sessions: {} }).sessions).toEqual({});
});

test("one wrong verdict is named by its session", () => {
  const sessions = { sesn_a: verdict, sesn_b: { ...verdict, after: "12" } };
  expect(wrongAt(MultiStreamStart, { type: "holdfast.stream", sessions })).toEqual(["sessions.sesn_b.after"]);
});

test("the cursors of as many sessions as one stream follows fit into 4 KB", () => {
  const cursor = Array.from({ length: maxStreamSessions }, () => `${newId("session").slice(-26)}:${10 ** 9}`);
  expect(cursor.join(",").length).toBeLessThan(4096);
});

test("what can be had while it comes are events of the log", () => {
  expect(draftTypes).toEqual(["agent.message", "agent.thinking"]);
  for (const type of draftTypes) {
    expect(wrongAt(DraftFrame, { type: "event_start", event: { type, id: "sevt_1" } })).toEqual([]);
    expect(wrongAt(SessionEvent, events[type])).toEqual([]);
  }
});

test.each(["agent.tool_use", "user.message", "holdfast.step"])("no draft is of the type %s", (type) => {
  expect(wrongAt(DraftFrame, { type: "event_start", event: { type, id: "sevt_1" } })).toEqual(["event.type"]);
});

test("a frame of a stream is an event or a draft", () => {
  for (const frame of [...Object.values(events), ...Object.values(drafts)])
    expect(StreamFrame.parse(frame)).toEqual(frame);
});

test.each([
  ["a session", session],
  ["the frame that a stream begins with", { type: "holdfast.stream", ...verdict }],
  ["a type of neither", { type: "event_end", event_id: "sevt_1" }],
  ["nothing", {}],
])("%s is no frame of the log", (_what, frame) => {
  expect(wrongAt(StreamFrame, frame)).not.toEqual([]);
});

test("no draft looks like an event, and no event like a draft", () => {
  for (const draft of Object.values(drafts)) expect(wrongAt(SessionEvent, draft)).toEqual(["type"]);
  for (const event of Object.values(events)) expect(wrongAt(DraftFrame, event)).toEqual(["type"]);
});

test("drafts of a text that came in any pieces add up to the text", () => {
  const text = "Grüße 😀 und\nnoch eine Zeile";
  const points = [...text];
  for (let cut = 0; cut <= points.length; cut++) {
    const pieces = [points.slice(0, cut).join(""), points.slice(cut).join("")];
    const frames = pieces.map((piece, index) => ({
      type: "event_delta",
      event_id: "sevt_1",
      delta: { type: "content_delta", index, content: { type: "text", text: piece } },
    }));
    const read = frames.map((frame) => DraftFrame.parse(JSON.parse(JSON.stringify(frame))));
    expect(read.map((frame) => (frame.type === "event_delta" ? frame.delta.content.text : "")).join("")).toBe(text);
  }
});
