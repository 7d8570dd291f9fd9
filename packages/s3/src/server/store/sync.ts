import { mkdir, open, opendir, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf } from "../faults.ts";
import type { DirectoryIndexes } from "./directory-index.ts";

/** Runs work one after another per name; different names run side by side. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();

  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    // The chain only orders; the caller gets the error through `mine`.
    const tail = mine.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(name, tail);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(name) === tail) this.#tails.delete(name);
    }
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Makes directory entries durable. Concurrent callers for one directory share a sync: one that is under way may have
 * started too early for a newcomer, so newcomers together wait for the next.
 */
export class DirectorySync {
  readonly #enabled: boolean;
  /** Told of directories that come and go. */
  readonly #indexes: DirectoryIndexes | undefined;
  readonly #running = new Map<string, Promise<void>>();
  readonly #next = new Map<string, Promise<void>>();
  /** Directories made whose entry in the parent is not durable yet. */
  readonly #fresh = new Map<string, Promise<void>>();

  constructor(enabled: boolean, indexes?: DirectoryIndexes) {
    this.#enabled = enabled;
    this.#indexes = indexes;
  }

  sync(path: string): Promise<void> {
    if (!this.#enabled) return Promise.resolve();
    const running = this.#running.get(path);
    if (running === undefined) return this.#start(path);
    const queued = this.#next.get(path);
    if (queued !== undefined) return queued;
    const start = (): Promise<void> => {
      this.#next.delete(path);
      return this.#start(path);
    };
    const next = running.then(start, start);
    this.#next.set(path, next);
    return next;
  }

  #start(path: string): Promise<void> {
    const run = syncDirectory(path).finally(() => {
      if (this.#running.get(path) === run) this.#running.delete(path);
    });
    this.#running.set(path, run);
    return run;
  }

  /** Syncs a directory and waits for those above it (below `root`) that were made a moment ago. */
  async syncWithAncestors(path: string, root: string): Promise<void> {
    const waits = [this.sync(path)];
    for (let at = path; at.length > root.length && this.#fresh.size > 0; at = dirname(at)) {
      const fresh = this.#fresh.get(at);
      if (fresh !== undefined) waits.push(fresh);
    }
    await Promise.all(waits);
  }

  /**
   * Makes `path` and what is missing between it and `root`.
   * @throws ENOENT where `root` itself is gone
   */
  async makeBelow(root: string, path: string): Promise<void> {
    if (path.length <= root.length) return;
    try {
      await mkdir(path, { mode: 0o700 });
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EEXIST") return;
      if (errno !== "ENOENT" || dirname(path) === root) throw error;
      await this.makeBelow(root, dirname(path));
      return this.makeBelow(root, path);
    }
    this.#indexes?.added(dirname(path), basename(path));
    const durable = this.sync(dirname(path)).finally(() => {
      if (this.#fresh.get(path) === durable) this.#fresh.delete(path);
    });
    this.#fresh.set(path, durable);
    // Whoever commits below waits for it too; this handler only keeps an early failure from being unhandled.
    durable.catch(() => undefined);
  }

  /** Removes directories that became empty, from `path` up to but not including `root`. */
  async prune(path: string, root: string): Promise<void> {
    for (let at = path; at.length > root.length; at = dirname(at)) {
      try {
        await rmdir(at);
        this.#indexes?.forget(at);
        this.#indexes?.forget(dirname(at));
      } catch {
        // Not empty, or somebody else removed it: either way there is nothing left to do above.
        return;
      }
    }
  }
}

/** Whether a file lies anywhere below; ends at the first. */
export async function holdsFile(path: string): Promise<boolean> {
  const left = [path];
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    try {
      for await (const entry of await opendir(at)) {
        if (!entry.isDirectory()) return true;
        left.push(join(at, entry.name));
      }
    } catch (error) {
      // Pruned while we looked.
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return false;
}
