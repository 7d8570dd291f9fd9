import type { PermissionAnswer } from "@holdfast/claude";
import { AppError, type NewEvent } from "@holdfast/protocol";
import type { Selectable } from "kysely";
import type { Database, Schema, Tx } from "../../ports/database.ts";
import { type Confirmation, decide, type Resolution } from "./answer.ts";
import { choicesOf, type StoredQuestion } from "./present.ts";
import { rememberRules } from "./rules.ts";

type Row = Selectable<Schema["permissions"]>;

/** What is kept of how a question ended. */
interface StoredResolution extends Resolution {
  /** RFC 3339. */
  at: string;
}

/** Events whose questions are open, oldest first. */
export async function openQuestions(tx: Database, sessionId: string): Promise<string[]> {
  const rows = await tx
    .selectFrom("permissions")
    .select("event_id")
    .where("session_id", "=", sessionId)
    .where("state", "=", "pending")
    .orderBy("created_at", "asc")
    .orderBy("request_id", "asc")
    .execute();
  return rows.map((row) => row.event_id);
}

/**
 * A question counts one answer, whichever server it reaches. Gives what the log says about it. Throws
 * `confirmation_late` for another one, `request_invalid` when nothing was asked or the answer does not fit.
 */
export async function answerQuestion(
  tx: Tx,
  session: { id: string; nowMs: number },
  confirmation: Confirmation,
): Promise<NewEvent> {
  const { eventId, path } = confirmation;
  const rows = await rowsOf(tx, session.id, eventId);
  const open = rows.find(({ state }) => state === "pending");
  if (open === undefined) {
    const [known] = rows;
    throw known === undefined ? neverAsked(path) : late(known, path);
  }
  const input = JSON.parse(open.input_json) as Record<string, unknown>;
  const { answer, resolution, remember, mode } = decide(questionOf(open, input), input, confirmation);
  if (!(await resolve(tx, open, { state: "answered", answer, resolution, nowMs: session.nowMs }))) {
    // Another server was faster: its answer is the one to tell.
    const [known = open] = await rowsOf(tx, session.id, eventId);
    throw late(known, path);
  }
  if (remember !== undefined) {
    await rememberRules(tx, {
      sessionId: session.id,
      rules: remember.rules,
      by: confirmation.by,
      nowMs: session.nowMs,
    });
  }
  if (mode !== undefined) {
    await tx.updateTable("sessions").set({ permission_mode: mode }).where("id", "=", session.id).execute();
  }
  return { type: "holdfast.permission_resolved", ...resolution };
}

interface Closing {
  outcome: "expired" | "withdrawn";
  /** Why nobody waits for an answer any more. */
  message: string;
  nowMs: number;
  /** Only this one. */
  requestId?: string;
  /** Only those of this process. */
  processId?: string;
  /** False: what a subagent asks stays open. */
  ofAgents?: boolean;
  /** The CLI may still wait: this is what it is told. */
  answer?: PermissionAnswer;
}

/** Nobody waits for an answer any more. Gives what the log says about it. */
export async function closeQuestions(tx: Tx, sessionId: string, closing: Closing): Promise<NewEvent[]> {
  let query = tx
    .selectFrom("permissions")
    .selectAll()
    .where("session_id", "=", sessionId)
    .where("state", "=", "pending");
  if (closing.requestId !== undefined) query = query.where("request_id", "=", closing.requestId);
  if (closing.processId !== undefined) query = query.where("process_id", "=", closing.processId);
  const events: NewEvent[] = [];
  const { outcome, message, answer, nowMs } = closing;
  for (const row of await query.orderBy("created_at").orderBy("request_id").execute()) {
    if (closing.ofAgents === false && isOfAgent(row)) continue;
    const resolution: Resolution = { tool_use_id: row.event_id, outcome, message };
    const state = answer === undefined ? "closed" : "answered";
    if (await resolve(tx, row, { state, answer: answer ?? null, resolution, nowMs }))
      events.push({ type: "holdfast.permission_resolved", ...resolution });
  }
  return events;
}

function isOfAgent({ question_json: json }: Row): boolean {
  return json !== null && (JSON.parse(json) as StoredQuestion).shown.parent_event_id !== undefined;
}

/** What the session says while it waits. */
export function askedEvent(eventIds: string[]): NewEvent {
  return {
    type: "session.status_idle",
    stop_reason: { type: "requires_action", event_ids: eventIds },
    stop_details: null,
  };
}

function rowsOf(tx: Tx, sessionId: string, eventId: string): Promise<Row[]> {
  return tx
    .selectFrom("permissions")
    .selectAll()
    .where("session_id", "=", sessionId)
    .where("event_id", "=", eventId)
    .orderBy("created_at", "desc")
    .execute();
}

/** False when it was no longer open: of two that try, one succeeds. */
async function resolve(
  tx: Tx,
  row: Row,
  end: { state: "answered" | "closed"; answer: PermissionAnswer | null; resolution: Resolution; nowMs: number },
): Promise<boolean> {
  const stored: StoredResolution = { ...end.resolution, at: new Date(end.nowMs).toISOString() };
  const { numUpdatedRows } = await tx
    .updateTable("permissions")
    .set({
      state: end.state,
      answer_json: end.answer === null ? null : JSON.stringify(end.answer),
      resolution_json: JSON.stringify(stored),
    })
    .where("process_id", "=", row.process_id)
    .where("request_id", "=", row.request_id)
    .where("state", "=", "pending")
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Of a question that an older server asked, what can be said without the request. */
function questionOf(row: Row, input: Record<string, unknown>): StoredQuestion {
  if (row.question_json !== null) return JSON.parse(row.question_json) as StoredQuestion;
  return {
    suggestions: [],
    shown: {
      tool_use_id: row.event_id,
      kind: "tool",
      tool_name: "",
      title: "",
      description: "",
      reason: null,
      blocked_path: null,
      can_allow: true,
      suggestions: [],
      questions: choicesOf(input),
    },
  };
}

function neverAsked(path: string): AppError {
  const field = `${path}.tool_use_id`;
  const message = "names no tool call of this session that asked for a confirmation";
  return new AppError("request_invalid", { detail: `${field}: ${message}`, errors: [{ path: field, message }] });
}

function late(row: Row, path: string): AppError {
  const how = howItEnded(row);
  return new AppError("confirmation_late", {
    detail: `The question of the tool call ${row.event_id} ${how}`,
    errors: [{ path: `${path}.tool_use_id`, message: how }],
  });
}

function howItEnded({ state, resolution_json: json }: Row): string {
  if (json === null) return state === "closed" ? "is no longer open" : "has been answered already";
  const { outcome, at, message, answered_by: by, rule } = JSON.parse(json) as StoredResolution;
  if (outcome === "expired" || outcome === "withdrawn") {
    return `is no longer open since ${at}: ${message ?? outcome}`;
  }
  const who = by === undefined ? (rule === undefined ? "" : ` by the rule ${rule}`) : ` by ${by}`;
  return `was ${outcome}${who} at ${at}`;
}
