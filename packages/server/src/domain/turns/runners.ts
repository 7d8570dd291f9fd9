import { inBackground } from "@holdfast/std";
import type { Logger } from "pino";
import type { SessionRunner } from "./session-runner.ts";

export interface RunnersDeps {
  open: (sessionId: string) => Promise<SessionRunner>;
  /** Its save was begun under a runner's lease, which another one would end. */
  isSaving: (workspaceId: string) => boolean;
  logger: Logger;
}

interface Entry {
  opening: Promise<SessionRunner>;
  /** Once it is open. */
  runner: SessionRunner | undefined;
  /** What is being asked of it now. */
  uses: number;
  /** Looks in a row that found it idle. */
  rests: number;
}

/** What a process that has ended is still owed, e.g. word to its guest that all was stored, is done long before. */
const restsBeforeForgotten = 30;

/** The sessions in hand: each is opened when it is first needed, and forgotten when it has rested for a while. */
export class Runners {
  readonly #deps: RunnersDeps;
  readonly #entries = new Map<string, Entry>();

  constructor(deps: RunnersDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(sessionId: string): boolean {
    return this.#entries.has(sessionId);
  }

  /** Opens it where it is not. Rejects when it cannot be opened, or `work` rejects. */
  async use<T>(sessionId: string, work: (runner: SessionRunner) => T | Promise<T>): Promise<T> {
    const entry = this.#entries.get(sessionId) ?? this.#begin(sessionId);
    entry.uses++;
    entry.rests = 0;
    try {
      return await work(await entry.opening);
    } finally {
      entry.uses--;
    }
  }

  /** Ends its turn and process. */
  async drop(sessionId: string): Promise<void> {
    const entry = this.#entries.get(sessionId);
    if (entry === undefined) return;
    const runner = await entry.opening.catch(() => undefined);
    await runner?.end();
    this.#remove(sessionId, entry);
  }

  /**
   * To be called with every look for work. Opened again, a session has a new lease, so nothing may go on under the old
   * one: no turn, no process, nothing that is being written, no save.
   */
  forgetIdle(): void {
    const { isSaving, logger } = this.#deps;
    for (const [id, entry] of this.#entries) {
      const { runner, uses } = entry;
      const isIdle = runner?.isIdle === true && uses === 0 && !isSaving(runner.workspaceId);
      entry.rests = isIdle ? entry.rests + 1 : 0;
      if (runner === undefined || entry.rests < restsBeforeForgotten) continue;
      this.#remove(id, entry);
      inBackground(runner.release(), (error) =>
        logger.warn({ err: error, session: id }, "a session was not let go of"),
      );
    }
  }

  async finishAll(): Promise<void> {
    const runners = await this.#opened();
    await Promise.all(runners.map((runner) => runner.finish()));
  }

  /** Lets go of all. */
  async release(): Promise<void> {
    const opening = this.#opened();
    this.#entries.clear();
    // Why its work ended was said where it happened.
    await Promise.allSettled((await opening).map((runner) => runner.release()));
  }

  async #opened(): Promise<SessionRunner[]> {
    const all = await Promise.allSettled([...this.#entries.values()].map(({ opening }) => opening));
    return all.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  }

  #begin(sessionId: string): Entry {
    const entry: Entry = { opening: this.#deps.open(sessionId), runner: undefined, uses: 0, rests: 0 };
    this.#entries.set(sessionId, entry);
    entry.opening.then(
      (runner) => {
        entry.runner = runner;
      },
      () => this.#remove(sessionId, entry),
    );
    return entry;
  }

  #remove(sessionId: string, entry: Entry): void {
    if (this.#entries.get(sessionId) === entry) this.#entries.delete(sessionId);
  }
}
