import { type EventOf, newId } from "@holdfast/protocol";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Tx } from "../../ports/database.ts";
import type { EventLog, LogTx } from "../../ports/event-log.ts";
import { enqueue } from "../messages/message-rows.ts";
import { decodeText } from "../text.ts";
import { markFired, type WakeupRow, wakeupEvent } from "./wakeup-rows.ts";

export interface WakeupsDeps {
  db: Database;
  log: EventLog;
  clock: Clock;
  logger: Logger;
  /** There is a message to work on. */
  wake(sessionId: string): void;
}

/** In one look; the rest comes with the next. */
const atOnce = 50;

/**
 * Wake-ups that Claude asked for. As long as the process lives that was asked, Claude Code fires them by itself, and its
 * lines mark the row. After that they are messages of ours, each sent once, late ones included, however many servers look.
 */
export class Wakeups {
  readonly #deps: WakeupsDeps;

  constructor(deps: WakeupsDeps) {
    this.#deps = deps;
  }

  /** Sends what is due. */
  async look(): Promise<void> {
    const { db, clock, logger } = this.#deps;
    const rows = await db
      .selectFrom("wakeups")
      .selectAll()
      .where("state", "=", "pending")
      .where("due_at", "<=", clock.now())
      .orderBy("due_at", "asc")
      .limit(atOnce)
      .execute();
    for (const row of rows) {
      try {
        await this.#fire(row);
      } catch (error) {
        logger.warn({ err: error, session: row.session_id, wakeup: row.id }, "a wake-up was not sent; trying again");
      }
    }
  }

  async #fire(row: WakeupRow): Promise<void> {
    const { log, clock, logger, wake } = this.#deps;
    const isSent = await log.transact(async (logTx) => {
      const { tx, lock } = logTx;
      await lock(row.session_id);
      const session = await tx
        .selectFrom("sessions")
        .select(["status", "archived_at"])
        .where("id", "=", row.session_id)
        .executeTakeFirst();
      if (session === undefined || session.archived_at !== null || session.status === "terminated") return false;
      if (await isClaudes(tx, row)) return false;
      if (!(await markFired(tx, row, clock.now()))) return false;
      await send(logTx, row, { starts: session.status === "idle", nowMs: clock.now() });
      return true;
    });
    if (!isSent) return;
    logger.info({ session: row.session_id, wakeup: row.id }, "waking Claude up");
    wake(row.session_id);
  }
}

/** The process that knows of it lives: it fires by itself. A cron job is known to every process of the conversation. */
async function isClaudes(tx: Tx, row: WakeupRow): Promise<boolean> {
  const living = await tx
    .selectFrom("processes")
    .innerJoin("sandboxes", "sandboxes.provider_id", "processes.sandbox_id")
    .select("processes.id as id")
    .where("processes.session_id", "=", row.session_id)
    .where("processes.state", "!=", "ended")
    .where("sandboxes.state", "!=", "ended")
    .execute();
  return living.some(({ id }) => row.kind === "cron" || id === row.process_id);
}

async function send(
  { tx, append }: LogTx,
  row: WakeupRow,
  { starts, nowMs }: { starts: boolean; nowMs: number },
): Promise<void> {
  const content = [{ type: "text" as const, text: decodeText(row.prompt) }];
  const [, said] = await append({
    sessionId: row.session_id,
    events: [
      wakeupEvent(row, "fired"),
      { type: "user.message", id: newId("event", nowMs), content, holdfast: { wakeup_id: row.id } },
      ...(starts ? [{ type: "session.status_running" as const }] : []),
    ],
    ...(starts ? { session: { status: "running" as const } } : {}),
    atMs: nowMs,
  });
  await enqueue(tx, {
    event: said as EventOf<"user.message">,
    sessionId: row.session_id,
    nowMs,
    clientId: `${row.id}:${row.due_at}`,
  });
}
