import type { EventOf, SessionEvent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { beginsBusy, MessageTracker } from "./messages.ts";

const message = (id: string) =>
  ({
    type: "user.message",
    id,
    seq: 1,
    processed_at: "",
    content: [{ type: "text", text: id }],
  }) as EventOf<"user.message">;
const change = (message_id: string, state: "edited" | "removed" | "started" | "steered", text?: string) =>
  ({
    type: "holdfast.message",
    message_id,
    state,
    ...(text === undefined ? {} : { content: [{ type: "text", text }] }),
  }) as EventOf<"holdfast.message">;
const ids = (rows: { id: string }[]) => rows.map(({ id }) => id);
const held = (tracker: MessageTracker) => [...tracker.held.keys()];

test("the first message is shown at once and names its turn; those behind it wait until they are begun", () => {
  const tracker = new MessageTracker(false);
  expect(ids(tracker.sent(message("a")))).toEqual(["a"]);
  expect(tracker.turn).toBe("a");
  expect(tracker.sent(message("b"))).toEqual([]);
  expect(held(tracker)).toEqual(["b"]);
  expect(tracker.running().byItself).toBe(false);
  tracker.changed(change("a", "started"));
  expect(tracker.answered()).toEqual([]);
  expect(held(tracker)).toEqual(["b"]);
});

test("an older server does not say which message it begins: with the first answer all of them are shown", () => {
  const tracker = new MessageTracker(false);
  tracker.sent(message("a"));
  tracker.sent(message("b"));
  tracker.running();
  expect(ids(tracker.answered())).toEqual(["b"]);
  tracker.sent(message("c"));
  expect(tracker.answered()).toEqual([]);
  tracker.ended();
  tracker.running();
  expect(ids(tracker.answered())).toEqual(["c"]);
});

test("a server that says when a message is begun decides it: not the next turn's start does", () => {
  const tracker = new MessageTracker(false);
  tracker.sent(message("a"));
  tracker.running();
  tracker.changed(change("a", "started"));
  tracker.sent(message("b"));
  tracker.sent(message("c"));
  tracker.ended();
  expect(tracker.turn).toBeNull();
  expect(tracker.running()).toEqual({ byItself: false });
  expect(tracker.answered()).toEqual([]);
  expect(held(tracker)).toEqual(["b", "c"]);
  const [row] = tracker.changed(change("c", "steered", "c, edited"));
  expect(row).toMatchObject({ id: "c", steered: true, content: [{ text: "c, edited" }] });
  expect(tracker.turn).toBe("c");
  expect([...tracker.unread]).toEqual(["b"]);
});

test("edited it waits on, removed it is shown where it was taken back", () => {
  const tracker = new MessageTracker(true);
  tracker.sent(message("a"));
  expect(tracker.changed(change("a", "edited", "other"))).toEqual([]);
  expect(tracker.held.get("a")).toMatchObject({ edited: true, content: [{ text: "other" }] });
  expect(tracker.changed(change("a", "removed"))).toMatchObject([{ id: "a", removed: true }]);
  expect(held(tracker)).toEqual([]);
  expect([...tracker.unread]).toEqual(["a"]);
  expect(tracker.changed(change("of an older page", "started"))).toEqual([]);
});

test("a turn that begins although nobody said anything is Claude's own", () => {
  const tracker = new MessageTracker(false);
  tracker.sent(message("a"));
  expect(tracker.running().byItself).toBe(false);
  tracker.ended();
  expect(tracker.running().byItself).toBe(true);
  expect(tracker.turn).toBeNull();
});

test("whether a turn ran already where the loaded events begin", () => {
  const event = (seq: number, type: string) => ({ seq, type }) as SessionEvent;
  expect(beginsBusy([])).toBe(false);
  expect(beginsBusy([event(1, "user.message"), event(2, "session.status_idle")])).toBe(false);
  expect(beginsBusy([event(9, "agent.message"), event(10, "session.status_idle")])).toBe(true);
  expect(beginsBusy([event(9, "agent.message"), event(10, "session.status_running")])).toBe(false);
  expect(beginsBusy([event(9, "agent.message")])).toBe(true);
});
