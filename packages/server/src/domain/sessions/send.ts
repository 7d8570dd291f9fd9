import { AppError, maxPromptBytes, type NewEvent, newId, type SendEvents, type SessionEvent } from "@holdfast/protocol";
import { sql } from "kysely";
import type { Tx } from "../../ports/database.ts";
import type { LogTx } from "../../ports/event-log.ts";
import type { RequestIdentity } from "../idempotency.ts";
import { enqueue } from "../messages/message-rows.ts";
import { answerQuestion, openQuestions } from "../questions/question-rows.ts";
import { noteStop } from "./stops.ts";

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
/** All of them together, as they are stored: who asks for the queue gets it whole. */
const maxWaitingBytes = 8 * 1024 * 1024;

/**
 * Appends what was said, with what it sets going: messages into the queue, answers to their questions, turns that shall
 * end. A message that came before under the same client id is not said again: its event is given as it was.
 */
export async function storeEvents(log: LogTx, input: StoreInput): Promise<SessionEvent[]> {
  const { tx } = log;
  const { sessionId } = input;
  // Two requests with the same client id follow each other, whichever server they reach.
  await log.lock(sessionId);
  const { status, archived_at: archivedAt } = await tx
    .selectFrom("sessions")
    .select(["status", "archived_at"])
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow(() => new AppError("session_not_found"));
  if (archivedAt !== null) throw new AppError("session_archived");
  if (status === "terminated") throw new AppError("session_terminated");
  const known = await saidBefore(tx, input);
  const fresh = input.events.filter((_event, index) => known[index] === undefined);
  const contents = fresh.flatMap((event) => (event.type === "user.message" ? [event.content] : []));
  const messages = contents.length;
  if (messages > 0) await checkRoom(tx, sessionId, contents);
  const asked = await openQuestions(tx, sessionId);
  const resolved = await answerQuestions(tx, input);
  const open = asked.length === 0 ? asked : await openQuestions(tx, sessionId);
  // A message that comes while a question is open waits for the turn that asked it.
  const starts = status === "idle" && open.length === 0 && (asked.length > 0 || messages > 0);
  const said = fresh.length === 0 ? [] : await appendSaid(log, { ...input, events: fresh }, { starts, resolved });
  return known.map((event) => event ?? (said.shift() as SessionEvent));
}

/** Per event of the request: the one that was stored for it earlier. */
async function saidBefore(tx: Tx, input: StoreInput): Promise<(SessionEvent | undefined)[]> {
  const known: (SessionEvent | undefined)[] = [];
  const names = new Set<string>();
  for (const [index, event] of input.events.entries()) {
    const clientId = event.type === "user.message" ? clientIdOf(event, input) : undefined;
    if (clientId !== undefined && names.has(clientId)) throw namedTwice(index);
    if (clientId !== undefined) names.add(clientId);
    const row = clientId && (await messageOfClient(tx, input.sessionId, clientId));
    known.push(row ? (JSON.parse(row.event_json) as SessionEvent) : undefined);
  }
  return known;
}

function namedTwice(index: number): AppError {
  const errors = [{ path: `events.${index}.holdfast.client_id`, message: "names another message of this request" }];
  return new AppError("request_invalid", { detail: "Two messages have the same client id", errors });
}

async function messageOfClient(tx: Tx, sessionId: string, clientId: string) {
  return await tx
    .selectFrom("messages")
    .innerJoin("events", "events.id", "messages.event_id")
    .select("events.event_json as event_json")
    .where("messages.session_id", "=", sessionId)
    .where("messages.client_id", "=", clientId)
    .executeTakeFirst();
}

/** A request's key names its message where there is but one. */
function clientIdOf(message: Message, { events, identity }: StoreInput): string | undefined {
  const own = message.holdfast?.client_id;
  if (own !== undefined) return own;
  return events.filter(({ type }) => type === "user.message").length === 1 ? identity.key : undefined;
}

async function appendSaid(
  log: LogTx,
  input: StoreInput,
  { starts, resolved }: { starts: boolean; resolved: NewEvent[] },
): Promise<SessionEvent[]> {
  const { sessionId, nowMs } = input;
  const events = input.events.map((event) => toEvent(event, input));
  const appended = await log.append({
    sessionId,
    events: [...events, ...resolved, ...(starts ? [{ type: "session.status_running" as const }] : [])],
    ...(starts ? { session: { status: "running" } } : {}),
    atMs: nowMs,
  });
  const said = appended.slice(0, events.length);
  for (const [index, event] of said.entries()) {
    const sent = input.events[index];
    if (event.type === "user.message" && sent?.type === "user.message") {
      await enqueue(log.tx, { event, sessionId, nowMs, clientId: clientIdOf(sent, input) });
    }
  }
  for (const event of said) if (event.type === "user.interrupt") await noteStop(log, { sessionId, event, nowMs });
  return said;
}

function toEvent(event: Sent, input: StoreInput): NewEvent {
  if (event.type === "user.message") {
    const clientId = event.holdfast?.client_id ?? input.identity.key;
    const details = { ...event.holdfast, ...(clientId === undefined ? {} : { client_id: clientId }) };
    const holdfast = Object.keys(details).length === 0 ? {} : { holdfast: details };
    return { type: "user.message", id: newId("event", input.nowMs), content: event.content, ...holdfast };
  }
  if (event.type === "user.interrupt") {
    return { type: "user.interrupt", ...(event.holdfast === undefined ? {} : { holdfast: event.holdfast }) };
  }
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

/** Throws `too_many_messages`. `instead`: the message that the one given takes the place of. */
export async function checkRoom(
  tx: Tx,
  sessionId: string,
  more: readonly Message["content"][],
  instead = "",
): Promise<void> {
  const { waiting, bytes } = await tx
    .selectFrom("messages")
    .select((eb) => eb.fn.countAll<number>().as("waiting"))
    .select(sql<number>`coalesce(sum(octet_length(content_json)), 0)`.as("bytes"))
    .where("session_id", "=", sessionId)
    .where("state", "!=", "done")
    .where("id", "!=", instead)
    .executeTakeFirstOrThrow();
  const words = `${waiting} messages wait in this session`;
  if (Number(waiting) + more.length > maxWaiting)
    throw new AppError("too_many_messages", { detail: `${words}; ${maxWaiting} may` });
  const size = more.reduce((sum, content) => sum + Buffer.byteLength(JSON.stringify(content)), Number(bytes));
  // The first is always taken: what one message may have is checked elsewhere.
  if (size > maxWaitingBytes && Number(waiting) > 0)
    throw new AppError("too_many_messages", { detail: `${words}; together they may have ${maxWaitingBytes} bytes` });
}

/** Throws `prompt_empty`, `prompt_too_large`, naming the message. `list`: the field that holds the events. */
export function checkMessages(events: readonly Sent[], list: string): void {
  for (const [index, event] of events.entries())
    if (event.type === "user.message") checkMessage(event, `${list}.${index}.content`);
}

/** As `checkMessages`, for one; `path`: of its content. */
export function checkMessage(event: Pick<Message, "content">, path: string): void {
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
