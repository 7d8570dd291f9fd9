import { hasOpenTool, type MapResult } from "@holdfast/claude";
import type { HeldProcess } from "./held-process.ts";
import type { SessionDesk } from "./session-desk.ts";

/** The CLI gives a stalled stream up after five minutes; before that it says nothing. */
const longMs = 5 * 60 * 1000;

/**
 * Says when Claude has been silent for long although an answer of the model is awaited: not while a tool runs or is
 * asked about, nor while a retry waits.
 */
export class StallWatch implements Disposable {
  readonly #desk: SessionDesk;
  readonly #running: HeldProcess;
  /** Silence counts from here: the last line, or the end of a retry's wait. */
  #sinceMs = performance.now();
  /** How often this silence was said. */
  #said = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(desk: SessionDesk, running: HeldProcess) {
    this.#desk = desk;
    this.#running = running;
    running.heard = (result) => this.#heard(result);
    this.#arm();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#running.heard = () => undefined;
  }

  #heard({ events }: MapResult): void {
    this.#sinceMs = performance.now();
    this.#said = 0;
    for (const event of events) {
      if (event.type === "holdfast.notice" && event.kind === "api_retry") this.#sinceMs += event.retry_delay_ms ?? 0;
    }
  }

  get #isAwaited(): boolean {
    const { inFlight } = this.#desk;
    if (inFlight.isEmpty && !this.#running.ownTurn) return false;
    return !hasOpenTool(this.#running.process.mapper);
  }

  #arm(): void {
    const { stallNoticeMs } = this.#desk.deps.options;
    const tickMs = Math.min(1_000, stallNoticeMs / 4);
    this.#timer = setTimeout(() => this.#look(stallNoticeMs), tickMs);
    this.#timer.unref();
  }

  #look(noticeMs: number): void {
    // Silence before a turn, or during a tool, is none.
    if (!this.#isAwaited) this.#sinceMs = performance.now();
    const silentMs = performance.now() - this.#sinceMs;
    const next = this.#said === 0 ? noticeMs : Math.max(longMs, noticeMs * 2);
    if (silentMs >= next && this.#said < 2) {
      this.#said++;
      this.#say(silentMs).catch((error) => this.#desk.warn(error, "a silence was not said"));
    }
    this.#arm();
  }

  async #say(silentMs: number): Promise<void> {
    const how =
      silentMs < 120_000 ? `${Math.round(silentMs / 1000)} seconds` : `${Math.round(silentMs / 60_000)} minutes`;
    await this.#desk.append([
      {
        type: "holdfast.notice",
        kind: "stalled",
        level: "warning",
        text: `The model has said nothing for ${how}. Claude Code gives up after five minutes and asks again; you can stop the turn.`,
        data: { silent_ms: Math.round(silentMs) },
      },
    ]);
  }
}
