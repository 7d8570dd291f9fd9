import type { EventOf, SessionEvent } from "@holdfast/protocol";
import type { Holdfast, Message } from "@holdfast/sdk";
import type { Frame, Sessions } from "./sessions.ts";

/** Presses of a button within this mean one thing. */
const samePressMs = 2_000;

/** An event that is later than now by more than this was stamped by a clock that is not ours. */
const clockSkewMs = 60_000;

/** The message whose turn runs, or is being prepared. */
export function runningMessage(open: readonly Message[]): Message | undefined {
  return open.find(({ state }) => state !== "queued") ?? open.find(({ delivery }) => delivery === "now") ?? open.at(0);
}

/** Whether it waits behind another one. */
export function waitsIn(open: readonly Message[], id: string): boolean {
  return open.some((each) => each.id === id && each.state === "queued") && runningMessage(open)?.id !== id;
}

/**
 * Whether the turn of this message began only when another one had been stopped, a moment ago: a second press on a stop
 * button did not mean this one. `events`: the newest interrupts and changes of messages, oldest first; `pressedMs`: when
 * it was pressed, however long it took until we got here.
 */
export function beganAfterStop(events: readonly SessionEvent[], id: string, pressedMs: number): boolean {
  const press = events.findLast((event) => event.type === "user.interrupt");
  if (press === undefined || press.holdfast?.message_id === id) return false;
  const agoMs = pressedMs - Date.parse(press.processed_at);
  if (agoMs < -clockSkewMs || agoMs > samePressMs) return false;
  const began = events.findLast((event) => begins(event, id));
  return began === undefined || began.seq > press.seq;
}

const begins = (event: Frame, id: string): event is EventOf<"holdfast.message"> =>
  event.type === "holdfast.message" &&
  event.message_id === id &&
  (event.state === "started" || event.state === "steered");

/** Whether the turn of this message is still to come, although the session was idle at `seq`. */
export async function isStillToCome(
  { holdfast, sessions }: { holdfast: Holdfast; sessions: Sessions },
  { sessionId, messageId, seq, signal }: { sessionId: string; messageId: string; seq: number; signal: AbortSignal },
): Promise<boolean> {
  if ((await holdfast.messages.list(sessionId, { signal })).some(({ id }) => id === messageId)) return true;
  // It may have begun, and even ended, meanwhile: then the log says more of it than we have read.
  for await (const event of sessions.events(sessionId, { types: ["holdfast.message"], tail: 50, signal }))
    if (event.type === "holdfast.message" && event.message_id === messageId && event.seq > seq) return true;
  return false;
}

/** Whose turn runs, as the events tell it, and which one a press on a stop button means. */
export class RunningTurn {
  #running = false;
  #messageId: string | undefined;
  #pressed: { atMs: number; messageId: string | undefined } | undefined;

  get running(): boolean {
    return this.#running;
  }

  take(frame: Frame): void {
    if (frame.type === "user.message" && !this.#running) this.#messageId = frame.id;
    else if (frame.type === "session.status_running") this.#running = true;
    else if (frame.type === "holdfast.message" && begins(frame, frame.message_id)) {
      this.#running = true;
      this.#messageId = frame.message_id;
    } else if (isEnd(frame)) {
      this.#running = false;
      this.#messageId = undefined;
    }
  }

  /** The message whose turn is meant; undefined: whichever runs. Pressed again at once, it means the same as before. */
  press(nowMs: number): string | undefined {
    const before = this.#pressed;
    if (before?.messageId !== undefined && nowMs - before.atMs < samePressMs) return before.messageId;
    this.#pressed = { atMs: nowMs, messageId: this.#messageId };
    return this.#messageId;
  }
}

/** A turn that waits for an answer is not over. */
const isEnd = (frame: Frame) =>
  frame.type === "session.status_terminated" ||
  (frame.type === "session.status_idle" && frame.stop_reason.type !== "requires_action");
