import { randomUUID } from "node:crypto";
import type { BackgroundTask, NewEvent } from "@holdfast/protocol";
import type { Selectable } from "kysely";
import type { Database, Schema, Tx } from "../../ports/database.ts";
import { decodeText, encodeText } from "../text.ts";
import { nextCron } from "./cron.ts";

export type WakeupRow = Selectable<Schema["wakeups"]>;

/** What Claude asked for. */
export interface NewWakeup {
  kind: "once" | "cron";
  /** Claude's own name of a cron job; null: it has one wake-up at a time, without a name. */
  claudeId: string | null;
  prompt: string;
  reason: string;
  /** Null: it happens once. */
  cron: string | null;
  dueAt: number;
  /** When Claude Code itself gives it up. */
  expiresAt: number | null;
}

export function wakeupEvent(
  row: Pick<WakeupRow, "id" | "reason" | "due_at">,
  state: "scheduled" | "fired" | "cancelled",
): NewEvent {
  const due = new Date(Number(row.due_at)).toISOString();
  return { type: "holdfast.wakeup", wakeup_id: row.id, state, due_at: due, reason: decodeText(row.reason) };
}

/** Of one session. */
const mostPending = 100;
/** What is over is remembered for so long: Claude Code may still fire it by itself. */
const rememberMs = 2 * 24 * 60 * 60_000;

/** Of those without a name the last one counts. */
export async function storeWakeup(
  tx: Tx,
  { sessionId, processId, nowMs }: { sessionId: string; processId: string; nowMs: number },
  wakeup: NewWakeup,
): Promise<NewEvent[]> {
  await tx
    .deleteFrom("wakeups")
    .where("session_id", "=", sessionId)
    .where("state", "!=", "pending")
    .where("due_at", "<", nowMs - rememberMs)
    .execute();
  if ((await pendingWakeups(tx, [sessionId])).length >= mostPending) {
    const text = `${mostPending} wake-ups wait in this session already: this one is lost when Claude Code's process ends`;
    return [{ type: "holdfast.notice", kind: "wakeup_lost", level: "warning", text }];
  }
  const replaced = wakeup.kind === "once" ? await cancelWakeups(tx, sessionId, { kind: "once" }) : [];
  const row: WakeupRow = {
    id: `wake_${randomUUID().replaceAll("-", "")}`,
    session_id: sessionId,
    process_id: processId,
    kind: wakeup.kind,
    claude_id: wakeup.claudeId,
    prompt: encodeText(wakeup.prompt),
    reason: encodeText(wakeup.reason),
    cron: wakeup.cron,
    state: "pending",
    due_at: Math.round(wakeup.dueAt),
    expires_at: wakeup.expiresAt === null ? null : Math.round(wakeup.expiresAt),
    created_at: nowMs,
  };
  await tx.insertInto("wakeups").values(row).execute();
  return [...replaced, wakeupEvent(row, "scheduled")];
}

/** All that match; gives what the log says of it. */
export async function cancelWakeups(
  tx: Tx,
  sessionId: string,
  which: { kind?: "once"; claudeId?: string; id?: string } = {},
): Promise<NewEvent[]> {
  const all = await pendingWakeups(tx, [sessionId]);
  const rows = all.filter(
    (row) =>
      (which.kind === undefined || row.kind === which.kind) &&
      (which.claudeId === undefined || row.claude_id === which.claudeId) &&
      (which.id === undefined || row.id === which.id),
  );
  for (const { id } of rows) await tx.updateTable("wakeups").set({ state: "cancelled" }).where("id", "=", id).execute();
  return rows.map((row) => wakeupEvent(row, "cancelled"));
}

/** Of these sessions, the next one first. */
export async function pendingWakeups(db: Database, sessionIds: readonly string[]): Promise<WakeupRow[]> {
  if (sessionIds.length === 0) return [];
  return await db
    .selectFrom("wakeups")
    .selectAll()
    .where("session_id", "in", sessionIds)
    .where("state", "=", "pending")
    .orderBy("due_at", "asc")
    .execute();
}

/**
 * It has happened: a cron job waits for its next time, of which those that were missed are none; anything else is over. False
 * when somebody else was faster.
 */
export async function markFired(tx: Tx, row: WakeupRow, nowMs: number): Promise<boolean> {
  const next = nextOf(row, nowMs);
  const change = next === undefined ? { state: "fired" as const } : { due_at: next };
  const { numUpdatedRows } = await tx
    .updateTable("wakeups")
    .set(change)
    .where("id", "=", row.id)
    .where("state", "=", "pending")
    .where("due_at", "=", row.due_at)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Claude Code gives every job a small delay of its own, always the same. */
function nextOf({ cron, due_at: dueAt, expires_at: expiresAt }: WakeupRow, nowMs: number): number | undefined {
  if (cron === null) return undefined;
  const due = Number(dueAt);
  const slot = nextCron(cron, due - delayWindowMs);
  const delay = slot === undefined || slot > due ? 0 : due - latestSlot(cron, due);
  const next = nextCron(cron, Math.max(nowMs, due) - delay);
  if (next === undefined || (expiresAt !== null && next > Number(expiresAt))) return undefined;
  return next + delay;
}

const delayWindowMs = 30 * 60_000;

/** The last time before `due` that the expression names, looked for within the longest delay there is. */
function latestSlot(cron: string, due: number): number {
  let last = due;
  for (let slot = nextCron(cron, due - delayWindowMs); slot !== undefined && slot <= due; slot = nextCron(cron, slot))
    last = slot;
  return last;
}

/** As the API lists them among what a session does beside its turns. */
export function toBackground(row: WakeupRow): BackgroundTask {
  const description = decodeText(row.reason) || decodeText(row.prompt);
  const due = new Date(Number(row.due_at)).toISOString();
  return { id: row.id, kind: "wakeup", description: description.slice(0, 500), due_at: due };
}
