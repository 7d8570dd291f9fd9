import { randomUUID } from "node:crypto";
import { type MapResult, type Signal, worksOn } from "@holdfast/claude";
import type { NewEvent } from "@holdfast/protocol";
import type { Tx } from "../../ports/database.ts";
import { inHand, markMessage, openMessages, queueAgain, renameMessage } from "../messages/message-rows.ts";
import { refuseOpen } from "../questions/asked.ts";
import { closeQuestions, openQuestions } from "../questions/question-rows.ts";
import { errorEvent, idleEvent, TurnFailure } from "./failure.ts";
import type { HeldProcess } from "./held-process.ts";
import type { LinePart } from "./line-parts.ts";
import type { LineEffect, ProcessExit } from "./process-owner.ts";
import type { SessionDesk } from "./session-desk.ts";
import { sessionStatus } from "./session-rows.ts";
import type { Turn } from "./turn.ts";
import { addUsage } from "./usage.ts";

type TurnEnded = Extract<Signal, { type: "turn_ended" }>;
type Echo = Extract<Signal, { type: "echo" }>;

const answers: ReadonlySet<string> = new Set<NewEvent["type"]>(["agent.message", "agent.thinking", "agent.tool_use"]);

/** `init`: output of a turn begins, also of one that nobody asked for, e.g. when a background task ended. */
export function onTurnStarted(desk: SessionDesk, running: HeldProcess): LinePart {
  const own = desk.inFlight.isEmpty && desk.preparing === undefined && !running.ownTurn;
  const first = !running.started;
  return {
    // Agents at work have kept it running.
    ...(own && !worksOn(running.process.mapper) ? { before: [{ type: "session.status_running" }] } : {}),
    session: { ...(own ? { status: "running" as const } : {}), ...(first ? { claude_started: 1 } : {}) },
    after: () => {
      running.started = true;
      running.answered = false;
      if (own) running.ownTurn = true;
    },
  };
}

/** What the session has to note when a turn's `result` comes. */
export function onTurnEnded(
  desk: SessionDesk,
  running: HeldProcess,
  { ended, result }: { ended: TurnEnded; result: MapResult },
): LinePart {
  const { id } = desk.session;
  const turns = desk.inFlight.answeredBy(running, ended);
  const own = turns.length === 0 && running.ownTurn;
  const again = turns.filter((turn) => wasHitBySteering(turn, ended));
  const outcome = turns.length > 0 && turns.every(({ stopped }) => stopped) ? "stopped" : ended.outcome;
  const idle = idleEvent(outcome, { retriesExhausted: ended.terminalReason === "api_error" });
  // The turn is over, the session's work is not.
  const works = worksOn(result.state);
  return {
    more: async (tx) => {
      const refused = await refuseOpen(tx, id, { nowMs: desk.deps.clock.now(), ofAgents: !works });
      // A second result for the same message ends nothing any more.
      if (works || (turns.length === 0 && !own)) return { events: refused };
      return goIdle(desk, tx, { over: turns, events: [...refused, idle], otherwise: refused });
    },
    also: async (tx) => {
      await addUsage(tx, id, result.events);
      for (const turn of turns) {
        if (again.includes(turn)) await queueAgain(tx, turn.id, randomUUID());
        else await markMessage(tx, turn.id, "done");
      }
    },
    after: () => {
      running.answered = false;
      if (own || ended.origin !== null) running.ownTurn = false;
      running.outcome = outcome;
      for (const turn of turns) turn.end({ kind: "done" });
      if (own && !works) desk.saveSoon();
    },
  };
}

/** Agents have come to their end, and nobody looks any more at what they brought. */
export function onWorkEnded(desk: SessionDesk, running: HeldProcess): LinePart | undefined {
  if (running.ownTurn || !desk.inFlight.of(running).every(({ finished }) => finished)) return undefined;
  const idle = idleEvent(running.stopped ? "stopped" : running.outcome);
  return {
    more: async (tx) => {
      const { status } = await sessionStatus(tx, desk.session.id);
      // It waits for an answer, or was idle all the time.
      if (status !== "running" || (await openQuestions(tx, desk.session.id)).length > 0) return { events: [] };
      return await goIdle(desk, tx, { over: [], events: [idle], otherwise: [] });
    },
    after: () => {
      // What begins from now on was not meant.
      running.stopped = false;
      desk.saveSoon();
    },
  };
}

/** Unless another message is in Claude's hands, or being prepared for it. */
async function goIdle(
  desk: SessionDesk,
  tx: Tx,
  { over, events, otherwise }: { over: readonly Turn[]; events: NewEvent[]; otherwise: NewEvent[] },
): Promise<Pick<LineEffect, "events" | "session">> {
  const ids = over.map((turn) => turn.id);
  const others = inHand(await openMessages(tx, desk.session.id)).filter((row) => !ids.includes(row.id));
  if (others.length > 0 || desk.preparing !== undefined) return { events: otherwise };
  return { events, session: { status: "idle", stop_requested_at: null } };
}

/** The interrupt that made way for it came when it had begun already. */
function wasHitBySteering(turn: Turn, ended: TurnEnded): boolean {
  return turn.steers && turn.isUntouched && ended.outcome === "stopped";
}

/** Words or a call of Claude, whether whole or still streaming: of what it works on now. */
export function onAnswer(desk: SessionDesk, running: HeldProcess, { events, drafts }: MapResult): void {
  const isAnswer = drafts.length > 0 || events.some(({ type }) => answers.has(type));
  if (!isAnswer) return;
  for (const turn of desk.inFlight.of(running)) if (turn.taken) turn.answered = true;
}

/** A message's place in the CLI's own queue. */
export function onEcho(desk: SessionDesk, running: HeldProcess, echo: Echo): LinePart | undefined {
  const turn = desk.inFlight.get(echo.uuid);
  if (turn === undefined) return undefined;
  if (echo.state === "started" || echo.state === "replayed") turn.taken = true;
  if (echo.state !== "cancelled" || turn.taken) return undefined;
  // Withdrawn before it began: it has no result of its own.
  return {
    more: async (tx) => {
      if (running.ownTurn || worksOn(running.process.mapper)) return { events: [] };
      return await goIdle(desk, tx, { over: [turn], events: [idleEvent("stopped")], otherwise: [] });
    },
    also: (tx) => markMessage(tx, turn.id, "done"),
    after: () => turn.end({ kind: "done" }),
  };
}

/** What the session has to note when its process ends. */
export function onProcessExit(desk: SessionDesk, running: HeldProcess, exit: ProcessExit): LineEffect {
  const { id } = desk.session;
  running.exit = exit;
  const turns = desk.inFlight.of(running);
  const closing = { outcome: "expired" as const, message: "Claude Code ended before anybody answered" };
  const expire = async (tx: Tx) => ({
    events: await closeQuestions(tx, id, { ...closing, nowMs: desk.deps.clock.now() }),
  });
  const works = running.ownTurn || worksOn(running.process.mapper);
  if (turns.length === 0 && !works) return { events: [], more: expire };
  const conversation = restartAs(running, exit);
  const unheard = turns.filter((turn) => turn.isUntouched && wasKilledUnheard(running, exit));
  const newIds = new Map(unheard.map((turn) => [turn, randomUUID()]));
  const again = turns.filter(
    (turn) => !turn.stopped && (conversation !== undefined || unheard.includes(turn) || wasNotReached(turn, turns)),
  );
  const over = turns.filter((turn) => !again.includes(turn));
  const hit = over.filter(wasHitBySignal);
  const stopped =
    turns.length > 0 ? over.every((turn) => turn.stopped || turn.superseded || hit.includes(turn)) : running.stopped;
  return {
    events: [],
    more: async (tx) => {
      const { events: expired } = await expire(tx);
      if (again.length > 0) return { events: unheard.length === 0 ? expired : [...expired, saidAgain(exit)] };
      const said = [...expired, ...exitEvents(running, exit, stopped)];
      return await goIdle(desk, tx, { over, events: said, otherwise: expired });
    },
    also: async (tx) => {
      for (const [turn, newId] of newIds) await renameMessage(tx, turn.id, newId);
      for (const turn of over) {
        if (hit.includes(turn)) await queueAgain(tx, turn.id, randomUUID());
        else await markMessage(tx, turn.id, "done");
      }
    },
    after: () => {
      running.ownTurn = false;
      for (const [turn, newId] of newIds) turn.id = newId;
      for (const turn of over) turn.end({ kind: "done" });
      for (const turn of again) turn.end({ kind: "restart", conversation: conversation ?? "resume" });
    },
  };
}

/** The process was ended for the sake of another turn before it came to this one. */
function wasNotReached(turn: Turn, turns: readonly Turn[]): boolean {
  return !turn.taken && (turn.process?.signalled === true || turns.some((other) => other.stopped));
}

/**
 * Somebody else killed it, e.g. for memory, and all that it printed is here: the model has said nothing, so that nothing
 * was done. Not so when its guest died too, whose pipes may have held more.
 */
function wasKilledUnheard(running: HeldProcess, exit: ProcessExit): boolean {
  // `runuser` tells its child's signal as 128 and more.
  const wasKilled = exit.signal === null ? (exit.code ?? 0) > 128 : exit.signal !== "lost";
  return wasKilled && !running.signalled && !running.ending && !running.answered;
}

function saidAgain({ signal, code }: ProcessExit): NewEvent {
  const how = signal ?? `number ${(code ?? 0) - 128}`;
  return {
    type: "holdfast.notice",
    kind: "said_again",
    level: "warning",
    text: `Claude Code was ended by a signal (${how}) before Claude had answered anything: it is started again, and told the same once more.`,
    data: { signal, exit_code: code },
  };
}

/** The signal that made way for it came when it had begun already. */
function wasHitBySignal(turn: Turn): boolean {
  return turn.steers && turn.isUntouched && turn.process?.signalled === true;
}

/**
 * The CLI knows the conversation although we thought it did not, or the other way round; or files of its own stood in its
 * way, which are put in order before the next start.
 */
export function restartAs(running: HeldProcess, exit: ProcessExit): "new" | "resume" | undefined {
  if (running.started) return undefined;
  if (running.startupErrors.some((error) => /^(Configuration error|Failed to resume session)/.test(error))) {
    return running.kind;
  }
  if (running.conversationNotFound || exit.stderr.includes("No conversation found")) return "new";
  return /Session ID .* is already in use/.test(exit.stderr) ? "resume" : undefined;
}

function exitEvents(running: HeldProcess, exit: ProcessExit, stopped: boolean): NewEvent[] {
  if (stopped) return [idleEvent("stopped")];
  if (exit.signal === "lost") {
    const detail =
      "The program that holds Claude Code in its sandbox died, and Claude Code was ended with it; all that it had printed is shown";
    return [errorEvent(new TurnFailure("turn_interrupted", { detail })), idleEvent("interrupted")];
  }
  const how = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`;
  const words = lastWords(running);
  if (!running.started) {
    const detail = `Claude Code ended at its start with ${how}`;
    return [errorEvent(new TurnFailure("claude_start_failed", { detail, ...words })), idleEvent("failed")];
  }
  const detail = `Claude Code ended in the middle of the turn with ${how}`;
  const failure = new TurnFailure("turn_interrupted", { detail, ...words });
  return [errorEvent(failure), idleEvent("interrupted")];
}

/** What a process that has ended leaves for whoever asks why. */
export function lastWords({ exit, startupErrors }: HeldProcess): { exitCode?: number | null; output: string } {
  const output = [...startupErrors, exit?.stderr ?? ""].filter((text) => text !== "").join("\n");
  return exit === undefined ? { output } : { exitCode: exit.code, output };
}
