import { randomUUID } from "node:crypto";
import type { EventOf, Message } from "@holdfast/protocol";
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
  return await changeQueued(tx, id, { state: "done", removed_at: nowMs });
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

export async function markMessage(tx: Tx, id: string, state: "sent" | "taken" | "done"): Promise<void> {
  await tx.updateTable("messages").set({ state }).where("id", "=", id).execute();
}

/** Claude has it: from now on it is part of the conversation. */
export async function markTaken(tx: Tx, id: string): Promise<void> {
  await tx.updateTable("messages").set({ state: "taken" }).where("id", "=", id).where("state", "=", "sent").execute();
}

/** Back into the queue, under another id: Claude was given the first one. */
export async function queueAgain(tx: Tx, id: string, newId: string): Promise<void> {
  await tx.updateTable("messages").set({ id: newId, state: "queued" }).where("id", "=", id).execute();
}

/** Another id, for a process that may know the first one and would take it for said already. */
export async function renameMessage(tx: Tx, id: string, newId: string): Promise<void> {
  await tx.updateTable("messages").set({ id: newId, state: "sent" }).where("id", "=", id).execute();
}

interface Enqueued {
  event: EventOf<"user.message">;
  sessionId: string;
  nowMs: number;
  clientId: string | undefined;
}

/** Behind all others. */
export async function enqueue(tx: Tx, { event, sessionId, nowMs, clientId }: Enqueued): Promise<void> {
  await tx
    .insertInto("messages")
    .values({
      id: randomUUID(),
      session_id: sessionId,
      event_id: event.id,
      content_json: JSON.stringify(event.content),
      state: "queued",
      delivery: event.holdfast?.delivery ?? "next",
      client_id: clientId ?? null,
      created_at: nowMs,
      edited_at: null,
      removed_at: null,
      stop_requested_at: null,
    })
    .execute();
}

/** False when it waits no more: Claude has it, or nobody will. */
export async function changeQueued(tx: Tx, id: string, changed: Partial<MessageRow>): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("messages")
    .set(changed)
    .where("id", "=", id)
    .where("state", "=", "queued")
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Their turn shall end. */
export async function markStopped(tx: Tx, rows: readonly MessageRow[], nowMs: number): Promise<void> {
  for (const { id } of rows) {
    await tx
      .updateTable("messages")
      .set({ stop_requested_at: nowMs })
      .where("id", "=", id)
      .where("state", "!=", "done")
      .where("stop_requested_at", "is", null)
      .execute();
  }
}

/** It goes to Claude: nobody changes it any more. */
export async function takeQueued(tx: Tx, { id }: MessageRow): Promise<void> {
  await tx.updateTable("messages").set({ state: "sent" }).where("id", "=", id).where("state", "=", "queued").execute();
}
