import { hasOpenTool, type MapResult, type Signal } from "@holdfast/claude";
import type { NewEvent } from "@holdfast/protocol";
import { inBackground } from "@holdfast/std";
import { TurnFailure } from "./failure.ts";
import type { HeldProcess } from "./held-process.ts";
import type { SessionDesk } from "./session-desk.ts";

/** The CLI gives a stalled stream up after five minutes; before that it says nothing. */
const longMs = 5 * 60 * 1000;

/**
 * Says when Claude has been silent for long although an answer of the model is awaited: not while a tool runs or is
 * asked about, nor while a retry waits. Where the model was not even asked, what Claude Code waits for is told, and
 * after a limit the turn is ended: it would wait for ever.
 */
export class StallWatch implements Disposable {
  readonly #desk: SessionDesk;
  readonly #running: HeldProcess;
  /** Silence counts from here: the last line, or the end of a retry's wait. */
  #sinceMs = performance.now();
  /** How often this silence was said. */
  #said = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Since an answer was awaited last, the model was asked: it has answered, or the gateway says that it is being asked. */
  #asked: boolean;
  /** Claude Code says that it asks. It says so before it has read all that it wants to ask with, which may hold it. */
  #saysSo = false;
  #isOver = false;
  #awaitedMs = performance.now();
  /** Hooks that run, by their ids. */
  readonly #hooks = new Map<string, string>();

  /** `found`: a process of before, of which nobody knows whether it has asked. */
  constructor(desk: SessionDesk, running: HeldProcess, { found }: { found: boolean }) {
    this.#desk = desk;
    this.#running = running;
    this.#asked = found;
    running.heard = (result) => this.#heard(result);
    this.#arm();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#running.heard = () => undefined;
  }

  #heard({ events, drafts, signals }: MapResult): void {
    this.#sinceMs = performance.now();
    this.#said = 0;
    if (drafts.length > 0) this.#asked = true;
    for (const event of events) {
      if (event.type === "holdfast.notice" && event.kind === "api_retry") {
        this.#asked = true;
        this.#sinceMs += event.retry_delay_ms ?? 0;
      }
      if (event.type.startsWith("agent.")) this.#asked = true;
    }
    for (const signal of signals) this.#note(signal);
  }

  #note(signal: Signal): void {
    if (signal.type === "model_asked") this.#saysSo = true;
    if (signal.type === "turn_ended") this.#hooks.clear();
    if (signal.type !== "hook") return;
    if (signal.state === "started") this.#hooks.set(signal.id, signal.name);
    else this.#hooks.delete(signal.id);
  }

  get #isAwaited(): boolean {
    const { inFlight } = this.#desk;
    if (inFlight.isEmpty && !this.#running.ownTurn) return false;
    return !hasOpenTool(this.#running.process.mapper);
  }

  #arm(): void {
    const { stallNoticeMs, startLimitMs } = this.#desk.deps.options;
    const tickMs = Math.min(1_000, stallNoticeMs / 4, startLimitMs / 4);
    this.#timer = setTimeout(() => {
      inBackground(this.#look(stallNoticeMs, startLimitMs), (error) =>
        this.#desk.warn(error, "a silence was not seen"),
      );
    }, tickMs);
    this.#timer.unref();
  }

  async #look(noticeMs: number, limitMs: number): Promise<void> {
    const waitsMs = performance.now() - Math.max(this.#sinceMs, this.#awaitedMs);
    if (this.#saysSo && !this.#asked && this.#isAwaited && waitsMs >= Math.min(noticeMs, limitMs))
      this.#asked = await this.#isAsking();
    if (this.#isOver) return;
    const nowMs = performance.now();
    // Silence before a turn, or during a tool, is none.
    if (!this.#isAwaited) {
      this.#sinceMs = nowMs;
      this.#awaitedMs = nowMs;
      this.#asked = false;
      this.#saysSo = false;
    }
    const silentMs = nowMs - this.#sinceMs;
    const next = this.#said === 0 ? noticeMs : Math.max(longMs, noticeMs * 2);
    if (silentMs >= next && this.#said < 2) {
      this.#said++;
      this.#desk.append([this.#silence(silentMs)]).catch((error) => this.#desk.warn(error, "a silence was not said"));
    }
    if (this.#asked || nowMs - this.#awaitedMs < limitMs) this.#arm();
    else this.#giveUp(nowMs - this.#awaitedMs);
  }

  /** A gateway that does not answer says nothing against it. */
  async #isAsking(): Promise<boolean> {
    const { deps, session } = this.#desk;
    try {
      return await deps.gateway.isAnswering(session.id);
    } catch (error) {
      this.#desk.warn(error, "the gateway does not say whether the model is asked");
      return true;
    }
  }

  #silence(silentMs: number): NewEvent {
    const how = howLong(silentMs);
    const limit = this.#asked ? "" : `; it is ended when that takes ${howLong(this.#desk.deps.options.startLimitMs)}`;
    const text = this.#isModelSilent
      ? `The model has said nothing for ${how}. Claude Code gives up after five minutes and asks again; you can stop the turn.`
      : `${this.#waiting(how)} You can stop the turn${limit}.`;
    const [hook] = this.#hooks.values();
    const waiting_for = this.#isModelSilent ? "model" : hook === undefined ? "start" : "hook";
    return {
      type: "holdfast.notice",
      kind: "stalled",
      level: "warning",
      text,
      data: { silent_ms: Math.round(silentMs), waiting_for, ...(hook === undefined ? {} : { hook }) },
    };
  }

  get #isModelSilent(): boolean {
    return this.#asked && this.#hooks.size === 0;
  }

  #waiting(how: string): string {
    const hooks = [...this.#hooks.values()].join(", ");
    if (this.#asked) return `Claude Code has waited for its hook ${hooks} for ${how}.`;
    const start = this.#running.answeredBefore ? "has not asked the model yet" : "has not started yet";
    return hooks === ""
      ? `Claude Code ${start}, for ${how}: something that it reads first may hold it, such as a FIFO in the place of .git/HEAD.`
      : `Claude Code ${start}: it has waited for its hook ${hooks} for ${how}.`;
  }

  #giveUp(waitedMs: number): void {
    const error = new TurnFailure("claude_start_failed", { detail: this.#waiting(howLong(waitedMs)) });
    for (const turn of this.#desk.inFlight.of(this.#running)) turn.end({ kind: "lost", error });
  }
}

function howLong(ms: number): string {
  if (ms < 120_000) return `${Math.round(ms / 1000)} seconds`;
  return `${Math.round(ms / 60_000)} minutes`;
}
