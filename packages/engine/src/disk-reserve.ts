import { closeSync, fsyncSync, openSync, renameSync, rmSync, statfsSync, statSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { allocate } from "./keeper/syscalls.ts";

/** With less than this on the disk it is full for every practical purpose, ours and others'. */
const fullBytes = 4 * 1024 * 1024;

/** Whether a write failed because there is no room: a full disk, or a quota. */
export function isNoRoom(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error ? error.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT") return true;
  // SQLite's own words: SQLITE_FULL, and SQLITE_IOERR where the log or its index could not be made larger.
  return code === "ERR_SQLITE_ERROR" && /database or disk is full|disk I\/O error/.test(error.message);
}

export interface DiskReserveOptions {
  /** Where the file lies. */
  path: string;
  bytes: number;
  tell(message: string): void;
}

/**
 * A file that only takes room. When the disk is full it is given up, so that what must be written (how a sandbox ended,
 * the database) still can be; it is made again when there is room for it three times over.
 */
export class DiskReserve {
  readonly #options: DiskReserveOptions;

  constructor(options: DiskReserveOptions) {
    this.#options = options;
  }

  /** Bytes that giving it up would free. */
  get heldBytes(): number {
    try {
      return statSync(this.#options.path, { throwIfNoEntry: false })?.size ?? 0;
    } catch {
      // Not to be seen for the moment: nothing is promised.
      return 0;
    }
  }

  /** Frees the room; true when there was some to free. Never fails. */
  giveUp(): boolean {
    if (this.heldBytes === 0) return false;
    try {
      unlinkSync(this.#options.path);
    } catch {
      // Somebody else has just given it up: its room is there all the same.
      return true;
    }
    this.#options.tell("The disk is full: the reserve is given up so that what must be written can be.");
    return true;
  }

  /** Runs `write`, and once more with the reserve's room when the first failed for the want of it. */
  withRoom<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      if (!isNoRoom(error) || !this.giveUp()) throw error;
      return write();
    }
  }

  /** Gives it up when the disk is full, whoever filled it: the room is for other services on it too. Never fails. */
  check(): void {
    try {
      if (this.#freeBytes() < fullBytes) this.giveUp();
    } catch {
      // Not to be seen for the moment; the next look may show it.
    }
  }

  #freeBytes(): number {
    const { bavail, bsize } = statfsSync(dirname(this.#options.path));
    return bavail * bsize;
  }

  /** Makes it again if it is not whole and there is plenty of room; never fails. */
  restore(): void {
    const { path, bytes, tell } = this.#options;
    if (bytes === 0 || this.heldBytes >= bytes) return;
    const half = `${path}.new`;
    try {
      if (this.#freeBytes() < 3 * bytes) return;
      const file = openSync(half, "w", 0o600);
      try {
        allocate(file, bytes);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(half, path);
    } catch (error) {
      rmSync(half, { force: true });
      tell(`The reserve of the disk could not be made; it is tried again: ${String(error)}`);
    }
  }
}
