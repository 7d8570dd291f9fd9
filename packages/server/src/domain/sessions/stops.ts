import { AppError, type EventOf } from "@holdfast/protocol";
import type { Tx } from "../../ports/database.ts";
import type { LogTx } from "../../ports/event-log.ts";
import {
  inHand,
  type MessageRow,
  markStopped,
  messageRow,
  nextOf,
  openMessages,
  removeQueued,
} from "../messages/message-rows.ts";
import { openQuestions } from "../questions/question-rows.ts";

/** A second press within this, of someone who names no turn, means the same turn as the first. */
const samePressMs = 1_000;

interface Stop {
  sessionId: string;
  /** As it stands in the log. */
  event: EventOf<"user.interrupt">;
  nowMs: number;
}

/**
 * Notes in the rows whose turn shall end, so that it does even when this server dies before it acts. Throws
 * `message_not_found` when the named one was never there.
 */
export async function noteStop(log: LogTx, stop: Stop): Promise<void> {
  const named = stop.event.holdfast?.message_id;
  if (named === undefined) return await stopRunning(log.tx, stop);
  const { tx, append } = log;
  const { sessionId, nowMs } = stop;
  const row = await messageRow(tx, sessionId, named);
  if (row === undefined) throw new AppError("message_not_found");
  const rows = await openMessages(tx, sessionId);
  // What it began goes on: agents, or a turn of Claude's own.
  if (row.state === "done" && rows.length === 0 && (await isNewest(tx, row)))
    return await stopOwnTurn(tx, sessionId, nowMs);
  if (row.state === "done") return;
  const isWorkedOn = inHand(rows).length === 0 ? nextOf(rows)?.id === row.id : row.state !== "queued";
  if (isWorkedOn) return await markStopped(tx, [row], nowMs);
  // It waits behind another one: it will not run at all.
  if (!(await removeQueued(tx, row.id, nowMs))) return;
  await append({ sessionId, events: [{ type: "holdfast.message", message_id: named, state: "removed" }] });
}

/** No other message came to its turn after it. */
async function isNewest(tx: Tx, { session_id: sessionId, seq }: MessageRow): Promise<boolean> {
  const later = await tx
    .selectFrom("messages")
    .innerJoin("events", "events.id", "messages.event_id")
    .select("messages.id")
    .where("messages.session_id", "=", sessionId)
    .where("messages.removed_at", "is", null)
    .where("events.session_id", "=", sessionId)
    .where("events.seq", ">", seq)
    .where("events.type", "=", "user.message")
    .limit(1)
    .executeTakeFirst();
  return later === undefined;
}

/** The turn that runs, or is being prepared. */
async function stopRunning(tx: Tx, { sessionId, event, nowMs }: Stop): Promise<void> {
  const rows = (await openMessages(tx, sessionId)).filter(({ seq }) => seq < event.seq);
  const working = inHand(rows);
  const next = nextOf(rows);
  const running = working.length > 0 || next === undefined ? working : [next];
  if (running.length === 0) return await stopOwnTurn(tx, sessionId, nowMs);
  const before = await lastPress(tx, { sessionId, before: event.seq, since: nowMs - samePressMs });
  // What waited when the button was pressed first was not meant, then or now.
  await markStopped(tx, before === undefined ? running : running.filter(({ seq }) => seq > before), nowMs);
}

/** A turn that Claude began by itself. Nothing happens when the session is idle. */
async function stopOwnTurn(tx: Tx, sessionId: string, nowMs: number): Promise<void> {
  const asks = (await openQuestions(tx, sessionId)).length > 0;
  let query = tx.updateTable("sessions").set({ stop_requested_at: nowMs }).where("id", "=", sessionId);
  if (!asks) query = query.where("status", "=", "running");
  await query.execute();
}

/** Seq of the newest interrupt that named no turn. */
async function lastPress(
  tx: Tx,
  { sessionId, before, since }: { sessionId: string; before: number; since: number },
): Promise<number | undefined> {
  const rows = await tx
    .selectFrom("events")
    .select(["seq", "event_json"])
    .where("session_id", "=", sessionId)
    .where("type", "=", "user.interrupt")
    .where("seq", "<", before)
    .where("created_at", ">", since)
    .orderBy("seq", "desc")
    .limit(20)
    .execute();
  const isPress = ({ event_json: json }: { event_json: string }) =>
    (JSON.parse(json) as EventOf<"user.interrupt">).holdfast?.message_id === undefined;
  return rows.find(isPress)?.seq;
}

/** Everything that waits is removed, everything that runs shall end: the session takes no more. */
export async function stopAll({ tx, append }: LogTx, sessionId: string, nowMs: number): Promise<void> {
  const rows = await openMessages(tx, sessionId);
  const next = inHand(rows).length === 0 ? nextOf(rows) : undefined;
  for (const row of rows) {
    if (row.state !== "queued" || row === next || !(await removeQueued(tx, row.id, nowMs))) continue;
    const event = { type: "holdfast.message" as const, message_id: row.event_id, state: "removed" as const };
    await append({ sessionId, events: [event] });
  }
  await markStopped(tx, next === undefined ? inHand(rows) : [next], nowMs);
  await stopOwnTurn(tx, sessionId, nowMs);
}
