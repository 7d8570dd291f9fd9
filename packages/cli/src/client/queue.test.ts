import type { SessionEvent } from "@holdfast/protocol";
import type { Message } from "@holdfast/sdk";
import { expect, test } from "vitest";
import { beganAfterStop, RunningTurn, runningMessage, waitsIn } from "./queue.ts";
import type { Frame } from "./sessions.ts";

const message = (id: string, more: Partial<Message> = {}): Message => ({
  id,
  type: "message",
  state: "queued",
  content: [{ type: "text", text: id }],
  delivery: "next",
  client_id: null,
  created_at: "2026-01-01T00:00:00Z",
  edited_at: null,
  ...more,
});

test("which turn runs: what Claude has, else what comes next", () => {
  const waiting = [message("a"), message("b", { delivery: "now" })];
  expect(runningMessage([])).toBeUndefined();
  expect(runningMessage(waiting)?.id).toBe("b");
  expect(runningMessage([...waiting, message("c", { state: "taken" })])?.id).toBe("c");
  expect(waitsIn(waiting, "a")).toBe(true);
  expect(waitsIn(waiting, "b")).toBe(false);
  expect(waitsIn([message("a", { state: "sent" })], "a")).toBe(false);
  expect(waitsIn([], "a")).toBe(false);
});

const pressedMs = Date.UTC(2026, 0, 1);
const frame = (seq: number, event: Partial<Frame>) =>
  ({ id: `sevt_${seq}`, seq, processed_at: new Date(pressedMs).toISOString(), ...event }) as SessionEvent;
const started = (seq: number, id: string) => frame(seq, { type: "holdfast.message", message_id: id, state: "started" });
const press = (seq: number, messageId?: string) =>
  frame(seq, {
    type: "user.interrupt",
    ...(messageId === undefined ? {} : { holdfast: { message_id: messageId } }),
  });

test("a turn that began because another one was stopped a moment ago is not meant by the second press", () => {
  const events = [started(1, "a"), press(2, "a"), started(3, "b")];
  expect(beganAfterStop(events, "b", pressedMs + 500)).toBe(true);
  expect(beganAfterStop(events, "b", pressedMs + 5_000)).toBe(false);
  // Pressed before the other one was done, by someone slow; and a server whose clock is another.
  expect(beganAfterStop(events, "b", pressedMs - 5_000)).toBe(true);
  expect(beganAfterStop(events, "b", pressedMs - 3_600_000)).toBe(false);
  // It is about to begin.
  expect(beganAfterStop(events.slice(0, 2), "b", pressedMs + 500)).toBe(true);
  // The same turn once more, or one that ran before: nothing is in the way.
  expect(beganAfterStop(events, "a", pressedMs + 500)).toBe(false);
  expect(beganAfterStop([started(1, "b"), press(2)], "b", pressedMs + 500)).toBe(false);
  expect(beganAfterStop([started(1, "b")], "b", pressedMs)).toBe(false);
});

test("a follower knows whose turn runs; pressed twice at once it means the same one", () => {
  const turn = new RunningTurn();
  turn.take(frame(1, { type: "user.message", id: "a", content: [] }));
  turn.take(frame(2, { type: "session.status_running" }));
  turn.take(frame(3, { type: "user.message", id: "b", content: [] }));
  expect(turn.running).toBe(true);
  expect(turn.press(0)).toBe("a");
  const asks = { type: "requires_action" as const, event_ids: [] };
  turn.take(frame(4, { type: "session.status_idle", stop_reason: asks, stop_details: null }));
  expect(turn.running).toBe(true);
  turn.take(frame(5, { type: "session.status_idle", stop_reason: { type: "end_turn" }, stop_details: null }));
  expect(turn.running).toBe(false);
  turn.take(started(6, "b"));
  expect(turn.running).toBe(true);
  expect(turn.press(500)).toBe("a");
  expect(turn.press(5_000)).toBe("b");
});
