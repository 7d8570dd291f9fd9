import { endProcess, type MapperState, worksOn } from "@holdfast/claude";
import type { NewEvent } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";
import { type LogTx, StaleGenerationError } from "../../ports/event-log.ts";
import { inHand, markMessage, openMessages } from "../messages/message-rows.ts";
import { closeQuestions } from "../questions/question-rows.ts";
import { filesMount } from "../sandboxes/mounts.ts";
import { mapperColumns } from "./commit-batch.ts";
import { errorEvent, idleEvent, TurnStopped, toFailure } from "./failure.ts";
import type { SessionDesk } from "./session-desk.ts";
import type { Turn } from "./turn.ts";

const retryMs = 2_000;

/**
 * Says why turns ended, and makes the session idle again: the next message works. Without turns it was one that Claude
 * had begun by itself. Waits for a full disk; a lease that is lost meanwhile ends the desk's work.
 */
export async function endFailed(desk: SessionDesk, turns: readonly Turn[], error: unknown): Promise<void> {
  try {
    await endFailedTurns(desk, turns, error);
  } catch (lost) {
    if (lost instanceof StaleGenerationError) desk.lostLease(lost);
    else if (!desk.stop.signal.aborted) throw lost;
  }
}

/** Rejects when the lease is lost or the session is let go. */
async function endFailedTurns(desk: SessionDesk, turns: readonly Turn[], error: unknown): Promise<void> {
  const { log, logger } = desk.deps;
  const { id } = desk.session;
  const stopped = error instanceof TurnStopped || (turns.length > 0 && turns.every((turn) => turn.stopped));
  const failure = toFailure(error);
  if (!stopped) logger.warn({ err: error, session: id, code: failure.code }, "turn failed");
  const outcome = stopped ? "stopped" : failure.code === "turn_interrupted" ? "interrupted" : "failed";
  const events = stopped ? [idleEvent(outcome)] : [errorEvent(failure), idleEvent(outcome)];
  const message = stopped ? "The turn was stopped" : failure.message;
  for (;;) {
    try {
      await desk.store((logTx) => storeEnd(desk, logTx, { turns, events, message }));
      break;
    } catch (cause) {
      if (cause instanceof StaleGenerationError) throw cause;
      logger.error({ err: cause, session: id }, "cannot store a turn's end; trying again");
      await sleep(retryMs, desk.stop.signal);
    }
  }
  log.clearDrafts(id);
  for (const turn of turns) turn.end({ kind: "done" });
}

async function storeEnd(
  desk: SessionDesk,
  { tx, append }: LogTx,
  { turns, events, message }: { turns: readonly Turn[]; events: NewEvent[]; message: string },
): Promise<void> {
  const { id } = desk.session;
  // Fenced first: whoever has lost the lease must close nothing.
  await append({ ...desk.target, events: [] });
  const nowMs = desk.deps.clock.now();
  const closed = await closeQuestions(tx, id, { outcome: "expired", message, nowMs });
  const left = desk.running === undefined ? await leftByProcess(desk, tx) : undefined;
  // Another message is in Claude's hands, or waits for a process that takes it.
  const ids = turns.map((turn) => turn.id);
  const goesOn = inHand(await openMessages(tx, id)).some((row) => !ids.includes(row.id));
  // An agent of before works on: the session does.
  const works = desk.running !== undefined && worksOn(desk.running.process.mapper);
  const said = works ? events.filter(({ type }) => type !== "session.status_idle") : events;
  const idle = goesOn || works ? {} : { status: "idle" as const, stop_requested_at: null };
  await append({
    ...desk.target,
    events: [...(left?.events ?? []), ...closed, ...(goesOn ? [] : said)],
    session: { ...idle, ...left?.session },
  });
  for (const turn of turns) await markMessage(tx, turn.id, "done");
}

/** A process that is gone without its exit leaves tool calls that nobody will answer. */
async function leftByProcess(desk: SessionDesk, tx: LogTx["tx"]) {
  const { id } = desk.session;
  const row = await tx.selectFrom("sessions").select("mapper_json").where("id", "=", id).executeTakeFirst();
  if (row === undefined || row.mapper_json === null) return undefined;
  const before = JSON.parse(row.mapper_json) as MapperState;
  const ended = endProcess(before, { sessionId: id, workspaceMount: filesMount, scripted: false });
  return { events: ended.events, session: mapperColumns(ended.state, id) };
}
