import type { Message } from "@holdfast/protocol";
import type { Database, Schema, Tx } from "../../ports/database.ts";

export type MessageRow = Schema["messages"] & { seq: number };

/** A session's messages that are not over, in the order in which they were said. */
export async function openMessages(db: Database, sessionId: string): Promise<MessageRow[]> {
  return await db
    .selectFrom("messages")
    .innerJoin("events", "events.id", "messages.event_id")
    .selectAll("messages")
    .select("events.seq as seq")
    .where("messages.session_id", "=", sessionId)
    .where("messages.state", "!=", "done")
    .orderBy("events.seq", "asc")
    .execute();
}

/** Those that Claude has, or is being given. */
export function inHand(rows: readonly MessageRow[]): MessageRow[] {
  return rows.filter(({ state }) => state !== "queued");
}

/** The one that runs next: what shall run now comes before what waits. */
export function nextOf(rows: readonly MessageRow[]): MessageRow | undefined {
  const queued = rows.filter(({ state }) => state === "queued");
  return queued.find(({ delivery }) => delivery === "now") ?? queued[0];
}

export async function messageRow(db: Database, sessionId: string, eventId: string): Promise<MessageRow | undefined> {
  return await db
    .selectFrom("messages")
    .innerJoin("events", "events.id", "messages.event_id")
    .selectAll("messages")
    .select("events.seq as seq")
    .where("messages.session_id", "=", sessionId)
    .where("messages.event_id", "=", eventId)
    .executeTakeFirst();
}

/** True for whoever comes first: it has not gone to Claude, and will not. */
export async function removeQueued(tx: Tx, id: string, nowMs: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("messages")
    .set({ state: "done", removed_at: nowMs })
    .where("id", "=", id)
    .where("state", "=", "queued")
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

const iso = (ms: number) => new Date(ms).toISOString();

export function toMessage(row: MessageRow): Message {
  return {
    id: row.event_id,
    type: "message",
    state: row.state === "done" ? "taken" : row.state,
    content: JSON.parse(row.content_json) as Message["content"],
    delivery: row.delivery,
    client_id: row.client_id,
    created_at: iso(row.created_at),
    edited_at: row.edited_at === null ? null : iso(row.edited_at),
  };
}
