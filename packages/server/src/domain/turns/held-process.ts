import { sleep } from "@holdfast/std";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import type { ClaudeProcess } from "./claude-process.ts";
import type { ProcessState } from "./line-effects.ts";

/** A session's process between and during its turns. While it is held, its sandbox is in use. */
export class HeldProcess {
  readonly process: ClaudeProcess;
  readonly state: ProcessState;
  backgroundTasks = 0;
  readonly #use: Disposable;
  #timer: NodeJS.Timeout | undefined;

  constructor(process: ClaudeProcess, options: { sandbox: LiveSandbox; state: ProcessState }) {
    this.process = process;
    this.state = options.state;
    this.#use = options.sandbox.use();
  }

  /** Calls `work` once after `ms` without another call of `busy` or `afterIdle`. */
  afterIdle(ms: number, work: () => void): void {
    this.busy();
    this.#timer = setTimeout(work, ms);
    this.#timer.unref();
  }

  busy(): void {
    clearTimeout(this.#timer);
  }

  letGo(): void {
    this.busy();
    this.#use[Symbol.dispose]();
  }
}

const endingMs = 2_000;

/** A line that was not taken because the process is ending: its exit says why, better than this error would. */
export async function unlessEnding({ process }: HeldProcess, error: unknown): Promise<void> {
  const ended = await Promise.race([process.exited.then(() => true), sleep(endingMs).then(() => false)]);
  if (!ended) throw error;
}
