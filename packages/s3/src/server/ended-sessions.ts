import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "./faults.ts";
import type { DirectorySync } from "./store/sync.ts";

interface Active {
  count: number;
  /** Called when there is none any more. */
  readonly waiting: (() => void)[];
}

/**
 * Temporary credentials that were ended before their time, until that time: they read what they could read, and write
 * nothing any more. A write of theirs that is being put in its
 * place is waited for; one that comes later, or whose body is still on its way, is refused.
 */
export class EndedSessions {
  readonly #dataDir: string;
  readonly #directories: DirectorySync;
  readonly #now: () => number;
  /** Access key ids, with the time (ms) from which they are worth nothing anyway. */
  readonly #ended: Map<string, number>;
  readonly #active = new Map<string, Active>();
  #saving: Promise<void> = Promise.resolve();

  private constructor(options: EndedSessionsOptions, ended: Map<string, number>) {
    this.#dataDir = options.dataDir;
    this.#directories = options.directories;
    this.#now = options.now;
    this.#ended = ended;
  }

  static async load(options: EndedSessionsOptions): Promise<EndedSessions> {
    try {
      const entries = JSON.parse(await readFile(join(options.dataDir, FILE), "utf8")) as [string, number][];
      return new EndedSessions(options, new Map(entries));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      return new EndedSessions(options, new Map());
    }
  }

  /**
   * For whatever writes, or gives credentials on.
   * @throws Fault AccessDenied where one of them, which are a session and those it was made from, was ended
   */
  check(accessKeyIds: readonly string[]): void {
    if (accessKeyIds.some((id) => this.#ended.has(id))) {
      throw new Fault("AccessDenied", {
        message: "These temporary credentials were ended by who gave them: they still read, and write nothing.",
      });
    }
  }

  /**
   * For the moment in which a write takes effect.
   * @throws Fault AccessDenied
   */
  enter(accessKeyIds: readonly string[]): Disposable {
    this.check(accessKeyIds);
    for (const id of accessKeyIds) {
      const active = this.#active.get(id) ?? { count: 0, waiting: [] };
      active.count += 1;
      this.#active.set(id, active);
    }
    return { [Symbol.dispose]: () => this.#leave(accessKeyIds) };
  }

  #leave(accessKeyIds: readonly string[]): void {
    for (const id of accessKeyIds) {
      const active = this.#active.get(id);
      if (!active || --active.count > 0) continue;
      this.#active.delete(id);
      for (const wake of active.waiting) wake();
    }
  }

  /** When this returns nothing is written with them any more, also after a restart. Safe to repeat. */
  async end(accessKeyId: string, expiresMs: number): Promise<void> {
    const nowMs = this.#now();
    for (const [id, endMs] of this.#ended) if (endMs < nowMs) this.#ended.delete(id);
    this.#ended.set(accessKeyId, expiresMs);
    const active = this.#active.get(accessKeyId);
    if (active) await new Promise<void>((resolve) => active.waiting.push(resolve));
    // One after the other: each file holds what was ended until then.
    const saved = this.#saving.then(() => this.#save());
    this.#saving = saved.catch(() => undefined);
    await saved;
  }

  async #save(): Promise<void> {
    const path = join(this.#dataDir, FILE);
    const handle = await open(`${path}.new`, "w", 0o600);
    try {
      await handle.writeFile(JSON.stringify([...this.#ended]));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${path}.new`, path);
    await this.#directories.sync(this.#dataDir);
  }
}

export interface EndedSessionsOptions {
  readonly dataDir: string;
  readonly directories: DirectorySync;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const FILE = "ended-sessions.json";
