import {
  initializeRequest,
  type MapResult,
  type PermissionAnswer,
  type PermissionQuestion,
  permissionResponse,
  type Signal,
} from "@holdfast/claude";
import type { NewEvent, SessionAgent } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";
import type { Logger } from "pino";
import type { Database, Tx } from "../../ports/database.ts";
import { policyOf } from "../agents/launch.ts";
import { filesMount } from "../sandboxes/mounts.ts";
import type { ClaudeProcess } from "../turns/claude-process.ts";
import type { LineEffect } from "../turns/process-owner.ts";
import type { Resolution } from "./answer.ts";
import { present, type Shown, type StoredQuestion } from "./present.ts";
import { askedEvent, closeQuestions, openQuestions } from "./question-rows.ts";
import { sessionRules } from "./rules.ts";
import { allowedBy, type StoredSuggestion } from "./suggestions.ts";

/** Tool calls say what the agent's policy says of them. */
export function withPolicy(result: MapResult, agent: SessionAgent | null): MapResult {
  const asks = (name: string) => policyOf(agent, name) === "always_ask";
  if (!result.events.some((event) => event.type === "agent.tool_use" && asks(event.name))) return result;
  const events = result.events.map((event) =>
    event.type === "agent.tool_use" && asks(event.name) ? { ...event, evaluated_permission: "ask" as const } : event,
  );
  return { ...result, events };
}

/** Whose question it is, and when it comes. */
interface Asking {
  id: string;
  processId: string;
  nowMs: number;
}

/** The question becomes the session's: it waits, idle, until someone answers. */
export function onQuestion(session: Asking, question: PermissionQuestion, result: MapResult): LineEffect {
  return {
    events: result.events,
    more: async (tx) => {
      const { events, asks } = await ask(tx, session, { question, volumeRoot: result.state.volumeRoot });
      if (!asks) return { events };
      return { events: [...events, askedEvent(await openQuestions(tx, session.id))], session: { status: "idle" } };
    },
  };
}

/** Claude withdrew it, e.g. because the turn was stopped. */
export function onQuestionWithdrawn(
  session: Pick<Asking, "id" | "nowMs">,
  requestId: string,
  result: MapResult,
): LineEffect {
  const message = "Claude Code withdrew it: the turn was stopped, or the answer is not needed any more";
  return {
    events: result.events,
    more: async (tx) => goOn(tx, session.id, await withdraw(tx, session, { requestId, message })),
  };
}

/**
 * Asks a process that was found again for the questions that are open in it. The id tells its answer from others; each
 * time another one, as the guest writes a line of an id once only.
 */
export function askForOpen(id: string): { line: string; lineId: string } {
  return { line: initializeRequest(`${openPrefix}${id}`), lineId: `${openPrefix}${id}` };
}

const openPrefix = "open-questions-";

/** Its answer: what it does not ask any more is withdrawn, what was never stored is asked now. */
export function onOpenQuestions(
  session: Asking,
  signal: Extract<Signal, { type: "control_response" }>,
  result: MapResult,
): LineEffect | undefined {
  const { pending } = signal;
  if (pending === null || !signal.requestId.startsWith(openPrefix)) return undefined;
  return {
    events: result.events,
    more: async (tx) => {
      const message = "Claude Code does not ask it any more";
      const gone = (await pendingOf(tx, session)).filter((id) => !pending.some(({ requestId }) => requestId === id));
      const withdrawn: NewEvent[] = [];
      for (const requestId of gone) withdrawn.push(...(await withdraw(tx, session, { requestId, message })));
      const asked: NewEvent[] = [];
      let asks = false;
      for (const question of pending) {
        const one = await ask(tx, session, { question, volumeRoot: result.state.volumeRoot });
        asked.push(...one.events);
        asks ||= one.asks;
      }
      const events = [...withdrawn, ...asked];
      if (!asks) return withdrawn.length === 0 ? { events } : await goOn(tx, session.id, events);
      return { events: [...events, askedEvent(await openQuestions(tx, session.id))], session: { status: "idle" } };
    },
  };
}

/** Stores a question that is not stored yet, and says it, unless what was allowed always answers it. */
async function ask(
  tx: Tx,
  session: Asking,
  { question, volumeRoot }: { question: PermissionQuestion; volumeRoot: string | null },
): Promise<{ events: NewEvent[]; asks: boolean }> {
  const { requestId, request } = question;
  const eventId = question.toolEventId ?? requestId;
  const { parentEventId } = question;
  const { shown, suggestions } = present({
    eventId,
    request,
    volumeRoot,
    mount: filesMount,
    ...(parentEventId === null ? {} : { parentEventId }),
  });
  const rules =
    suggestions.length === 0 ? undefined : allowedBy(suggestions, new Set(await sessionRules(tx, session.id)));
  const updatedInput = request.input;
  const byRule: Resolution | undefined =
    rules === undefined ? undefined : { tool_use_id: eventId, outcome: "allowed", rule: rules.join(", ") };
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto("permissions")
    .values({
      session_id: session.id,
      process_id: session.processId,
      request_id: requestId,
      event_id: eventId,
      input_json: JSON.stringify(updatedInput),
      question_json: JSON.stringify(stored(shown, suggestions)),
      created_at: session.nowMs,
      ...(byRule === undefined
        ? { state: "pending" as const, answer_json: null, resolution_json: null }
        : {
            state: "answered" as const,
            answer_json: JSON.stringify({ behavior: "allow", updatedInput } satisfies PermissionAnswer),
            resolution_json: JSON.stringify({ ...byRule, at: new Date(session.nowMs).toISOString() }),
          }),
    })
    // The same question again: a host that asked for what is open.
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (numInsertedOrUpdatedRows !== 1n) return { events: [], asks: false };
  if (byRule !== undefined) return { events: [{ type: "holdfast.permission_resolved", ...byRule }], asks: false };
  return { events: [{ type: "holdfast.permission_request", ...shown }], asks: true };
}

function stored({ input: _input, ...shown }: Shown, suggestions: StoredSuggestion[]): StoredQuestion {
  return { shown, suggestions };
}

function withdraw(
  tx: Tx,
  session: Pick<Asking, "id" | "nowMs">,
  { requestId, message }: { requestId: string; message: string },
): Promise<NewEvent[]> {
  return closeQuestions(tx, session.id, { outcome: "withdrawn", message, requestId, nowMs: session.nowMs });
}

/** Nothing is asked any more: the turn runs on. */
async function goOn(tx: Tx, sessionId: string, events: NewEvent[]): Promise<Pick<LineEffect, "events" | "session">> {
  if (events.length === 0 || (await openQuestions(tx, sessionId)).length > 0) return { events };
  return { events: [...events, { type: "session.status_running" }], session: { status: "running" } };
}

async function pendingOf(tx: Tx, { id, processId }: Asking): Promise<string[]> {
  const rows = await tx
    .selectFrom("permissions")
    .select("request_id")
    .where("session_id", "=", id)
    .where("process_id", "=", processId)
    .where("state", "=", "pending")
    .execute();
  return rows.map((row) => row.request_id);
}

const turnEnded = "The turn ended before anybody answered";

/** What is still open when a turn ends is refused: nobody will be asked any more. `ofAgents`: theirs, too. */
export function refuseOpen(
  tx: Tx,
  sessionId: string,
  { nowMs, ofAgents }: { nowMs: number; ofAgents: boolean },
): Promise<NewEvent[]> {
  const answer: PermissionAnswer = { behavior: "deny", message: `${turnEnded}.` };
  return closeQuestions(tx, sessionId, { outcome: "expired", message: turnEnded, answer, nowMs, ofAgents });
}

const retryMs = { first: 200, most: 5_000 };

/**
 * Tells the process every answer that it has not got yet, over as many connections as it takes. Safe to repeat: the
 * guest writes each line once.
 */
export async function deliverAnswers(
  { db, logger }: { db: Database; logger: Logger },
  process: ClaudeProcess,
  signal: AbortSignal,
): Promise<void> {
  for (let waitMs = retryMs.first; process.alive && !signal.aborted; waitMs = Math.min(retryMs.most, waitMs * 2)) {
    try {
      await deliverOnce(db, process, signal);
      return;
    } catch (error) {
      if (signal.aborted || !process.alive) return;
      logger.warn({ err: error, process: process.processId }, "an answer to a question was not taken; trying again");
      // Aborts when the process is let go of: whoever holds it next tells it.
      await sleep(waitMs, signal).catch(() => undefined);
    }
  }
}

const takeMs = 10_000;

async function deliverOnce(db: Database, process: ClaudeProcess, signal: AbortSignal): Promise<void> {
  const rows = await db
    .selectFrom("permissions")
    .select(["request_id", "answer_json"])
    .where("process_id", "=", process.processId)
    .where("state", "=", "answered")
    .orderBy("created_at", "asc")
    .execute();
  for (const { request_id: requestId, answer_json: json } of rows) {
    if (json === null) continue;
    const line = permissionResponse(requestId, JSON.parse(json) as PermissionAnswer);
    await process.send(line, `answer-${requestId}`, AbortSignal.any([signal, AbortSignal.timeout(takeMs)]));
    await db
      .updateTable("permissions")
      .set({ state: "delivered" })
      .where("process_id", "=", process.processId)
      .where("request_id", "=", requestId)
      .where("state", "=", "answered")
      .execute();
  }
}
