import { lstatSync, mkdirSync, readdirSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** How long until what could not be removed is tried again: twice as long each time, up to the last. */
const AGAIN_MS = 100;
const LAST_AGAIN_MS = 60_000;

/**
 * Takes what is to be removed out of the way at once; a large tree takes seconds to remove, which happens in the
 * background, one after the other, and goes on with what an earlier keeper left.
 */
export class Trash {
  readonly #dir: string;
  readonly #warn: (message: string) => void;
  #serial = 0;
  #emptying: Promise<void> | undefined;
  #wanted = false;
  #againMs = AGAIN_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(dir: string, warn: (message: string) => void) {
    this.#dir = dir;
    this.#warn = warn;
  }

  /** Resolves when nothing is at `path` any more; rejects when it could not be taken away. */
  async discard(path: string): Promise<void> {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
    try {
      await this.#bury(path);
    } catch {
      // On another file system, or no room for a directory entry: removed where it is.
      await rm(path, { recursive: true, force: true });
      return;
    }
    this.empty();
  }

  async #bury(path: string): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      // A name of an earlier keeper's may lie there still.
      const grave = join(this.#dir, `${process.pid}-${Date.now().toString(36)}-${this.#serial++}`);
      try {
        return await rename(path, grave);
      } catch (error) {
        if (codeOf(error) !== "ENOENT" || attempt > 0) throw error;
        mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
      }
    }
  }

  /** Begins to remove what lies there; never fails. */
  empty(): void {
    this.#wanted = true;
    this.#emptying ??= this.#empty().finally(() => {
      this.#emptying = undefined;
    });
  }

  /** Resolves when nothing is being removed. */
  async settled(): Promise<void> {
    await this.#emptying;
  }

  async #empty(): Promise<void> {
    let failed = 0;
    while (this.#wanted) {
      this.#wanted = false;
      const { names, unread } = listed(this.#dir);
      failed = unread ? 1 : 0;
      for (const name of names) {
        await rm(join(this.#dir, name), { recursive: true, force: true }).catch((error: unknown) => {
          failed += 1;
          this.#warn(`${join(this.#dir, name)} could not be removed; it is tried again: ${String(error)}`);
        });
      }
    }
    if (failed === 0) {
      this.#againMs = AGAIN_MS;
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.empty();
    }, this.#againMs).unref();
    this.#againMs = Math.min(2 * this.#againMs, LAST_AGAIN_MS);
  }
}

function listed(dir: string): { names: string[]; unread: boolean } {
  try {
    return { names: readdirSync(dir), unread: false };
  } catch (error) {
    // Not made yet: empty. Not to be read for the moment: the next time shows it.
    return { names: [], unread: codeOf(error) !== "ENOENT" };
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
