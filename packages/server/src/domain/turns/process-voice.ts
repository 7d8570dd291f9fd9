import { randomUUID } from "node:crypto";
import { interruptRequest, isStateRequestId, type MapResult, type Signal, showPath, worksOn } from "@holdfast/claude";
import { inBackground } from "@holdfast/std";
import { StaleGenerationError } from "../../ports/event-log.ts";
import { markTaken } from "../messages/message-rows.ts";
import { deliverAnswers, onOpenQuestions, onQuestion, onQuestionWithdrawn, withPolicy } from "../questions/asked.ts";
import { SandboxGoneError } from "../sandboxes/live-sandbox.ts";
import { filesMount } from "../sandboxes/mounts.ts";
import type { SettingsLine } from "../sessions/settings.ts";
import { answerTo } from "./answers.ts";
import { endFailed } from "./end-failed-turn.ts";
import { sandboxEnded } from "./failure.ts";
import type { HeldProcess } from "./held-process.ts";
import { onAnswer, onEcho, onProcessExit, onTurnEnded, onTurnStarted, onWorkEnded } from "./line-effects.ts";
import { joinParts, type LinePart } from "./line-parts.ts";
import type { LineEffect, ProcessExit, ProcessOwner } from "./process-owner.ts";
import type { SessionDesk } from "./session-desk.ts";
import { onSettingsAnswer, onSettingsLine } from "./settings.ts";
import { onWakeupCancelled, onWakeupFired, onWakeupSet } from "./wakeup-lines.ts";

/** What a process says, as its session hears it; and what is said to it on the side. */
export class ProcessVoice implements ProcessOwner {
  readonly #desk: SessionDesk;
  /** Set before it speaks. */
  running: HeldProcess | undefined;

  constructor(desk: SessionDesk) {
    this.#desk = desk;
  }

  onLine(mapped: MapResult): LineEffect | undefined {
    const running = this.#held;
    const result = withPolicy(mapped, this.#desk.session.agent);
    // Looking breaks no silence.
    if (!isLooked(result)) running.heard(result);
    onAnswer(this.#desk, running, result);
    running.answered ||= isAnswer(result);
    running.answeredBefore ||= running.answered;
    running.agentsSince = worksOn(result.state) ? (running.agentsSince ?? performance.now()) : undefined;
    const parts = result.signals.flatMap((signal) => this.#parts(running, signal, result));
    return joinParts(result, parts) ?? (result === mapped ? undefined : { events: result.events });
  }

  onExit(exit: ProcessExit): LineEffect {
    const desk = this.#desk;
    const running = this.#held;
    const { processId } = running.process;
    desk.deps.logger.info({ session: desk.session.id, process: processId, ...exit }, "Claude Code ended");
    const effect = onProcessExit(desk, running, exit);
    return {
      ...effect,
      after: () => {
        if (running === desk.running) desk.letGo();
        effect.after?.();
      },
    };
  }

  onLost(error: unknown): void {
    const desk = this.#desk;
    const running = this.#held;
    if (error instanceof StaleGenerationError) desk.lostLease(error);
    if (running !== desk.running) return;
    desk.letGo();
    // A turn whose line has not gone yet gets another process, e.g. in the sandbox that replaces this one.
    for (const turn of desk.inFlight.of(running)) turn.end({ kind: "lost", error });
    if (!desk.inFlight.isEmpty) return;
    if (!running.ownTurn && !worksOn(running.process.mapper)) {
      // Nobody waits, but the reader may count on what a turn left running.
      if (error instanceof SandboxGoneError && error.why !== undefined)
        desk.append([sandboxEnded(error)]).catch((cause) => desk.warn(cause, "a sandbox's end is not noted"));
      return;
    }
    running.ownTurn = false;
    endFailed(desk, [], error).catch((cause) => desk.warn(cause, "the end of a turn is not noted"));
  }

  /** Without waiting: the caller may be what reads the answer. */
  say(line: string, lineId: string = randomUUID()): void {
    const { process } = this.#held;
    process
      .send(line, lineId, this.#desk.soon())
      .catch((error) => this.#desk.warn(error, "what was said to Claude Code was not taken"));
  }

  /** Answers to questions that it has not got yet. */
  deliver(): void {
    inBackground(deliverAnswers(this.#desk.deps, this.#held.process, this.#desk.stop.signal), (error) =>
      this.#desk.warn(error, "an answer was not delivered"),
    );
  }

  get #held(): HeldProcess {
    if (this.running === undefined) throw new Error("a process speaks before it is held");
    return this.running;
  }

  #parts(running: HeldProcess, signal: Signal, result: MapResult): LinePart[] {
    const part = this.#part(running, signal, result);
    const parts = part === undefined ? [] : [part];
    if (signal.type === "turn_started") parts.push(this.#settings(running, { ...signal, type: "began" }));
    return parts;
  }

  #settings(running: HeldProcess, line: SettingsLine): LinePart {
    return onSettingsLine(this.#desk, running, { line, say: (text, id) => this.say(text, id) });
  }

  #part(running: HeldProcess, signal: Signal, result: MapResult): LinePart | undefined {
    const desk = this.#desk;
    switch (signal.type) {
      case "turn_started":
        return onTurnStarted(desk, running);
      case "background_tasks":
      case "session_state": {
        const isOver = worksOn(running.process.mapper) && !worksOn(result.state);
        return isOver ? onWorkEnded(desk, running) : undefined;
      }
      case "wakeup_set":
        return onWakeupSet(desk, running, signal);
      case "wakeup_cancelled":
        return onWakeupCancelled(desk, signal);
      case "wakeup_fired":
        return onWakeupFired(desk, signal, (text, id) => this.say(text, id));
      case "permission_mode":
        return this.#settings(running, { type: "mode", mode: signal.mode });
      case "local_command":
        return this.#settings(running, { type: "command", name: signal.name, args: signal.args });
      case "turn_ended":
        return this.#turnEnded(running, signal, result);
      case "claude_session_id":
        return { session: { claude_session_id: signal.id } };
      case "echo":
        if (signal.state === "replayed") onEcho(desk, running, signal);
        return signal.state === "replayed"
          ? { also: (tx) => markTaken(tx, signal.uuid) }
          : onEcho(desk, running, signal);
      case "auth_failed_retrying":
        // It would be tried for minutes; the result then says why.
        return { after: () => this.say(interruptRequest(randomUUID())) };
      default:
        return this.#asked(running, signal, result);
    }
  }

  #turnEnded(
    running: HeldProcess,
    ended: Extract<Signal, { type: "turn_ended" }>,
    result: MapResult,
  ): LinePart | undefined {
    if (ended.startupFailure) {
      // The exit comes next and says the rest; the message was not taken.
      running.startupErrors = [...ended.errors];
      running.conversationNotFound = ended.conversationNotFound;
      return { silent: true };
    }
    const part = onTurnEnded(this.#desk, running, { ended, result });
    return {
      ...part,
      after: () => {
        part.after?.();
        this.deliver();
      },
    };
  }

  #asked(running: HeldProcess, signal: Signal, result: MapResult): LinePart | undefined {
    const answer = answerTo(signal);
    if (answer !== undefined) return { after: () => this.say(answer) };
    const { mode = null, volumeRoot } = running.process.mapper;
    const show = (path: string) => (volumeRoot === null ? path : showPath(path, volumeRoot, filesMount));
    const told = signal.type === "control_response" ? this.#desk.asks.take(signal, { mode, show }) : undefined;
    if (told !== undefined) return told;
    const taken = signal.type === "control_response" ? onSettingsAnswer(this.#desk, running, signal) : undefined;
    if (taken !== undefined) return taken;
    const { session, deps } = this.#desk;
    const asking = { id: session.id, processId: running.process.processId, nowMs: deps.clock.now() };
    const effect = questionEffect(asking, signal, result);
    if (effect === undefined) return undefined;
    const { events: _ofTheLine, ...part } = effect;
    // What was allowed always is answered at once.
    return signal.type === "permission_cancelled" ? part : { ...part, after: () => this.deliver() };
  }
}

/** The answer to what was asked on the side. */
function isLooked({ signals }: MapResult): boolean {
  return signals.some((signal) => signal.type === "control_response" && isStateRequestId(signal.requestId));
}

/** Anything that the model has said: words, a call, or the beginning of one. */
function isAnswer({ events, drafts }: MapResult): boolean {
  return drafts.length > 0 || events.some(({ type }) => type.startsWith("agent."));
}

function questionEffect(
  asking: Parameters<typeof onQuestion>[0],
  signal: Signal,
  result: MapResult,
): LineEffect | undefined {
  if (signal.type === "permission_request") return onQuestion(asking, signal, result);
  if (signal.type === "permission_cancelled") return onQuestionWithdrawn(asking, signal.requestId, result);
  if (signal.type === "control_response") return onOpenQuestions(asking, signal, result);
  return undefined;
}
