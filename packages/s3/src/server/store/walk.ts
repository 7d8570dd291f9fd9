import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../faults.ts";
import { type EntryName, parseEntryName } from "./paths.ts";

interface Entry extends EntryName {
  readonly fileName: string;
}

interface Frame {
  readonly path: string;
  /** Binary key of everything in here begins with this. */
  readonly prefix: string;
  readonly entries: readonly Entry[];
  next: number;
}

/** A key found, with the path of its file. Keys are binary strings. */
export interface FoundKey {
  readonly key: string;
  readonly path: string;
}

export interface WalkOptions {
  /** Binary string; only keys that begin with it are given. */
  readonly prefix: string;
  /** Binary string; only keys behind it are given. Empty for all. */
  readonly after: string;
}

/** Greater than any key that begins with the text: no UTF-8 text holds this byte. */
export const PAST = "\xff";

async function readFrame(path: string, prefix: string): Promise<Frame> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    // A directory may become empty and vanish while we walk.
    if (errnoOf(error) !== "ENOENT") throw error;
    names = [];
  }
  const entries: Entry[] = [];
  for (const fileName of names) {
    const parsed = parseEntryName(fileName);
    if (parsed) entries.push({ ...parsed, fileName });
  }
  entries.sort((a, b) => (a.adds < b.adds ? -1 : a.adds > b.adds ? 1 : a.isObject ? -1 : 1));
  return { path, prefix, entries, next: 0 };
}

/** Walks a bucket's keys in byte order, reading only the directories that can hold what is asked for. */
export class KeyWalk {
  readonly #prefix: string;
  #after: string;
  readonly #stack: Frame[] = [];
  readonly #root: string;
  #started = false;

  constructor(root: string, options: WalkOptions) {
    this.#root = root;
    this.#prefix = options.prefix;
    this.#after = options.after;
  }

  /** From now on only keys behind `key` are given. */
  skipPast(key: string): void {
    if (key > this.#after) this.#after = key;
  }

  /** Whether keys that begin with `prefix` can be asked for and lie behind the cursor. */
  #worthEntering(prefix: string): boolean {
    const asked = prefix.startsWith(this.#prefix) || this.#prefix.startsWith(prefix);
    return asked && (prefix > this.#after || this.#after.startsWith(prefix));
  }

  async next(): Promise<FoundKey | undefined> {
    if (!this.#started) {
      this.#started = true;
      this.#stack.push(await readFrame(this.#root, ""));
    }
    for (let frame = this.#stack.at(-1); frame; frame = this.#stack.at(-1)) {
      const entry = frame.entries[frame.next++];
      if (!entry) {
        this.#stack.pop();
        continue;
      }
      const key = frame.prefix + entry.adds;
      const path = join(frame.path, entry.fileName);
      if (entry.isObject) {
        if (key > this.#after && key.startsWith(this.#prefix)) return { key, path };
      } else if (this.#worthEntering(key)) {
        this.#stack.push(await readFrame(path, key));
      }
    }
    return undefined;
  }
}
