import type { Session, SessionEvent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { type LiveSession, liveFrom, looksDifferent, needsAnswer, reduceLive } from "./live-list.ts";

const session = (status: string, needs_answer = false) =>
  ({
    status,
    title: "t",
    holdfast: { last_seq: 5, needs_answer, settings: { permission_mode: "plan" } },
  }) as unknown as Session;
const event = (seq: number, type: string, more: object = {}) => ({ type, seq, ...more }) as unknown as SessionEvent;
const asked = (seq: number, ...event_ids: string[]) =>
  event(seq, "session.status_idle", { stop_reason: { type: "requires_action", event_ids } });
const idle = (seq: number) => event(seq, "session.status_idle", { stop_reason: { type: "end_turn" } });
const after = (...events: SessionEvent[]): LiveSession => events.reduce(reduceLive, liveFrom(session("idle")));

test("what was known already changes nothing", () => {
  const live = liveFrom(session("idle"));
  expect(reduceLive(live, event(5, "session.status_running"))).toBe(live);
});

test("a session needs an answer as long as one of its questions is open", () => {
  const open = after(event(6, "session.status_running"), asked(7, "a", "b"));
  expect([open.state, needsAnswer(open)]).toEqual(["working", true]);
  const one = reduceLive(open, event(8, "holdfast.permission_resolved", { tool_use_id: "a", outcome: "allowed" }));
  expect(needsAnswer(one)).toBe(true);
  const none = reduceLive(one, event(9, "agent.tool_result", { tool_use_id: "b" }));
  expect([none.state, needsAnswer(none)]).toEqual(["working", false]);
  expect(needsAnswer(reduceLive(one, idle(10)))).toBe(false);
});

test("a question that the list only counts goes with the next sign that it is over", () => {
  const live = liveFrom(session("running", true));
  expect(needsAnswer(live)).toBe(true);
  expect(needsAnswer(reduceLive(live, event(6, "agent.message")))).toBe(true);
  expect(needsAnswer(reduceLive(live, event(6, "session.status_running")))).toBe(false);
  expect(needsAnswer(reduceLive(live, event(6, "agent.tool_result", { tool_use_id: "x" })))).toBe(false);
});

test("only what the list shows is a difference", () => {
  const live = after(event(6, "session.status_running"));
  expect(looksDifferent(live, reduceLive(live, event(7, "agent.message")))).toBe(false);
  expect(looksDifferent(live, reduceLive(live, idle(7)))).toBe(true);
  expect(looksDifferent(live, reduceLive(live, event(7, "session.updated", { title: "u" })))).toBe(true);
  const settings = { permission_mode: "default", model: null, effort: null };
  expect(looksDifferent(live, reduceLive(live, event(7, "session.updated", { holdfast: { settings } })))).toBe(true);
});
