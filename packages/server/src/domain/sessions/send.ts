import { randomUUID } from "node:crypto";
import { AppError, maxPromptBytes, type NewEvent, newId, type SendEvents, type SessionEvent } from "@holdfast/protocol";
import type { Tx } from "../../ports/database.ts";
import type { LogTx } from "../../ports/event-log.ts";
import type { RequestIdentity } from "./idempotency.ts";
import { answerQuestion, openQuestions } from "./permissions.ts";

type Sent = SendEvents["events"][number];
type Message = Extract<Sent, { type: "user.message" }>;

export interface StoreInput {
  sessionId: string;
  events: readonly Sent[];
  identity: RequestIdentity;
  /** Who says it, in words. */
  by: string;
  nowMs: number;
}

/** Messages of one session that wait or are being worked on. */
const maxWaiting = 200;

/** Appends what was said, with what it sets going: messages into the queue, answers to their questions. */
export async function storeEvents({ tx, append, lock }: LogTx, input: StoreInput): Promise<SessionEvent[]> {
  const { sessionId, identity, nowMs } = input;
  await lock(sessionId);
  const { status, archived_at: archivedAt } = await tx
    .selectFrom("sessions")
    .select(["status", "archived_at"])
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow(() => new AppError("session_not_found"));
  if (archivedAt !== null) throw new AppError("session_archived");
  if (status === "terminated") throw new AppError("session_terminated");
  const messages = input.events.filter((event) => event.type === "user.message").length;
  if (messages > 0) await checkRoom(tx, sessionId, messages);
  const asked = await openQuestions(tx, sessionId);
  const resolved = await answerQuestions(tx, input);
  const open = asked.length === 0 ? asked : await openQuestions(tx, sessionId);
  // A message that comes while a question is open waits for the turn that asked it.
  const starts = status === "idle" && open.length === 0 && (asked.length > 0 || messages > 0);
  const client = identity.key === undefined ? {} : { holdfast: { client_id: identity.key } };
  const events = input.events.map((event) => toEvent(event, client, nowMs));
  const appended = await append({
    sessionId,
    events: [...events, ...resolved, ...(starts ? [{ type: "session.status_running" as const }] : [])],
    ...(starts ? { session: { status: "running" } } : {}),
    atMs: nowMs,
  });
  const said = appended.slice(0, events.length);
  for (const event of said) if (event.type === "user.message") await enqueue(tx, sessionId, event, nowMs);
  return said;
}

function toEvent(event: Sent, client: object, nowMs: number): NewEvent {
  if (event.type === "user.message") {
    return { type: "user.message", id: newId("event", nowMs), content: event.content, ...client };
  }
  if (event.type === "user.interrupt") return { type: "user.interrupt" };
  const { tool_use_id, result, deny_message = null, holdfast } = event;
  const details = holdfast === undefined ? {} : { holdfast };
  return { type: "user.tool_confirmation", tool_use_id, result, deny_message, ...details };
}

/** What the log says about the answers among the events. */
async function answerQuestions(tx: Tx, { sessionId, events, by, nowMs }: StoreInput): Promise<NewEvent[]> {
  const resolved: NewEvent[] = [];
  for (const [index, event] of events.entries()) {
    if (event.type !== "user.tool_confirmation") continue;
    const confirmation = {
      eventId: event.tool_use_id,
      result: event.result,
      denyMessage: event.deny_message ?? undefined,
      details: event.holdfast ?? {},
      path: `events.${index}`,
      by,
    };
    resolved.push(await answerQuestion(tx, { id: sessionId, nowMs }, confirmation));
  }
  return resolved;
}

async function enqueue(
  tx: Tx,
  sessionId: string,
  event: Extract<SessionEvent, { type: "user.message" }>,
  nowMs: number,
): Promise<void> {
  await tx
    .insertInto("messages")
    .values({
      id: randomUUID(),
      session_id: sessionId,
      event_id: event.id,
      content_json: JSON.stringify(event.content),
      state: "queued",
      created_at: nowMs,
    })
    .execute();
}

async function checkRoom(tx: Tx, sessionId: string, more: number): Promise<void> {
  const { waiting } = await tx
    .selectFrom("messages")
    .select((eb) => eb.fn.countAll<number>().as("waiting"))
    .where("session_id", "=", sessionId)
    .where("state", "!=", "done")
    .executeTakeFirstOrThrow();
  if (Number(waiting) + more <= maxWaiting) return;
  throw new AppError("too_many_messages", { detail: `${waiting} messages wait in this session; ${maxWaiting} may` });
}

/** Throws `prompt_empty`, `prompt_too_large`, naming the message. `list`: the field that holds the events. */
export function checkMessages(events: readonly Sent[], list: string): void {
  for (const [index, event] of events.entries())
    if (event.type === "user.message") checkMessage(event, `${list}.${index}.content`);
}

function checkMessage(event: Message, path: string): void {
  let text = "";
  let images = 0;
  for (const block of event.content) {
    if (block.type === "text") text += block.text;
    else images++;
  }
  if (text.trim() === "" && images === 0) {
    throw new AppError("prompt_empty", { errors: [{ path, message: "has no text" }] });
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > maxPromptBytes) {
    throw new AppError("prompt_too_large", {
      detail: `The message has ${bytes} bytes of text; ${maxPromptBytes} are accepted`,
      errors: [{ path, message: `is longer than ${maxPromptBytes} bytes` }],
    });
  }
}
