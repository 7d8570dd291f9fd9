import type { MapResult, TurnOutcome } from "@holdfast/claude";
import { sleep, startTimer, type Timer } from "@holdfast/std";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import type { ClaudeProcess } from "./claude-process.ts";
import type { ProcessExit } from "./process-owner.ts";

/** A session's process between and during its turns. While it is held, its sandbox is in use. */
export class HeldProcess {
  readonly process: ClaudeProcess;
  #ownTurnSince: number | undefined;
  /** The reader asked for that one's end. */
  stopped = false;
  /** How the last turn ended. */
  outcome: TurnOutcome = "completed";
  /** Since when an agent works, as far as this server has seen it, by `performance.now()`. */
  agentsSince: number | undefined;
  /** It has printed an `init`: it runs. */
  started = false;
  /** The model has answered something in the turn that runs, or may have: a tool may have run. */
  answered = false;
  /** And in one of its turns before. */
  answeredBefore = false;
  /** Why it could not start, in its own words. */
  startupErrors: string[] = [];
  conversationNotFound = false;
  /** Known when all that it printed is stored. */
  exit: ProcessExit | undefined;
  /** How it was to begin. */
  kind: "new" | "resume" = "resume";
  /** Its input was closed while it was idle. */
  closing = false;
  /** A signal went to it for the sake of a turn's end; what else it had in hand ends with that, unwanted. */
  signalled = false;
  /** It was told to end: nothing more is asked of it. */
  ending = false;
  readonly #use: Disposable;
  readonly #onLetGo: Disposable[] = [];
  #timer: Timer | undefined;

  constructor(process: ClaudeProcess, sandbox: LiveSandbox) {
    this.process = process;
    this.#use = sandbox.use();
  }

  /** A turn that Claude began by itself is running. */
  get ownTurn(): boolean {
    return this.#ownTurnSince !== undefined;
  }

  set ownTurn(isRunning: boolean) {
    if (isRunning === this.ownTurn) return;
    this.#ownTurnSince = isRunning ? performance.now() : undefined;
    if (isRunning) this.stopped = false;
  }

  /** When it began, as far as this server has seen it, by `performance.now()`. */
  get ownTurnSince(): number | undefined {
    return this.#ownTurnSince;
  }

  /** Calls `work` once after `ms` without another call of `busy` or `afterIdle`. */
  afterIdle(ms: number, work: () => void): void {
    this.busy();
    this.#timer = startTimer(ms, work).unref();
  }

  busy(): void {
    this.#timer?.[Symbol.dispose]();
  }

  /** Told of every line. */
  heard: (result: MapResult) => void = () => undefined;

  /** Disposed of when the process is let go. */
  attend(what: Disposable): void {
    this.#onLetGo.push(what);
  }

  letGo(): void {
    this.busy();
    for (const each of this.#onLetGo.splice(0)) each[Symbol.dispose]();
    this.#use[Symbol.dispose]();
  }
}

const endingMs = 2_000;

/** A line that was not taken because the process is ending: its exit says why, better than this error would. */
export async function unlessEnding({ process }: HeldProcess, error: unknown): Promise<void> {
  const ended = await Promise.race([process.exited.then(() => true), sleep(endingMs).then(() => false)]);
  if (!ended) throw error;
}
