import { join } from "node:path";
import { compareEntries, type DirectoryIndexes, type Entry, lowerBound, readEntries } from "./directory-index.ts";
import { SEGMENT_BYTES } from "./paths.ts";

interface Frame {
  readonly path: string;
  /** Binary key of everything in here begins with this. */
  readonly prefix: string;
  /** Those at hand, in order. The array may change while the walk waits: the place is found again by name. */
  entries: readonly Entry[];
  /** There are more behind those at hand. */
  more: boolean;
  /** The last one given. */
  last: Entry | undefined;
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

/** Walks a bucket's keys in byte order, reading only the directories that can hold what is asked for. */
export class KeyWalk {
  readonly #prefix: string;
  #after: string;
  readonly #stack: Frame[] = [];
  readonly #root: string;
  readonly #indexes: DirectoryIndexes;
  #started = false;

  constructor(root: string, options: WalkOptions & { readonly indexes: DirectoryIndexes }) {
    this.#root = root;
    this.#prefix = options.prefix;
    this.#after = options.after;
    this.#indexes = options.indexes;
  }

  /** From now on only keys behind `key` are given. */
  skipPast(key: string): void {
    if (key > this.#after) this.#after = key;
  }

  async next(): Promise<FoundKey | undefined> {
    if (!this.#started) {
      this.#started = true;
      this.#stack.push(await this.#open(this.#root, ""));
    }
    for (let frame = this.#stack.at(-1); frame; frame = this.#stack.at(-1)) {
      const entry = await this.#nextIn(frame);
      if (!entry) {
        this.#stack.pop();
        continue;
      }
      const key = frame.prefix + entry.adds;
      const path = join(frame.path, entry.fileName);
      if (!entry.isObject) this.#stack.push(await this.#open(path, key));
      else if (key > this.#after && key.startsWith(this.#prefix)) return { key, path };
    }
    return undefined;
  }

  async #open(path: string, prefix: string): Promise<Frame> {
    const entries = await this.#indexes.entries(path);
    return { path, prefix, entries: entries ?? [], more: entries === undefined, last: undefined };
  }

  /** The next entry that is, or may hold, something asked for. */
  async #nextIn(frame: Frame): Promise<Entry | undefined> {
    for (;;) {
      const from = this.#startIn(frame);
      if (from === undefined) return undefined;
      let at = lowerBound(frame.entries, from);
      for (let entry = frame.entries[at]; entry; entry = frame.entries[++at]) {
        if (frame.last && compareEntries(entry, frame.last) <= 0) continue;
        const key = frame.prefix + entry.adds;
        if (!key.startsWith(this.#prefix) && !(this.#prefix.startsWith(key) && !entry.isObject)) {
          if (key > this.#prefix) return undefined;
          continue;
        }
        if (key <= this.#after && (entry.isObject || !this.#after.startsWith(key))) continue;
        frame.last = entry;
        return entry;
      }
      if (!frame.more) return undefined;
      await this.#readWindow(frame, from);
    }
  }

  /**
   * What the first entry asked for adds, at least: behind the cursor, from the prefix on. An entry whose name is the
   * beginning of either counts, since it may hold what follows. Undefined where nothing in here can be asked for.
   */
  #startIn(frame: Frame): string | undefined {
    // biome-ignore lint/complexity/useMathMinMax: these are texts
    const bound = this.#after > this.#prefix ? this.#after : this.#prefix;
    if (frame.prefix !== "" && bound > frame.prefix && !bound.startsWith(frame.prefix)) return undefined;
    const rest = bound.startsWith(frame.prefix) ? bound.slice(frame.prefix.length) : "";
    if (rest.startsWith(PAST)) return undefined;
    const slash = rest.slice(0, SEGMENT_BYTES).indexOf("/");
    const first = slash < 0 ? rest.slice(0, SEGMENT_BYTES) : rest.slice(0, slash + 1);
    // Both are names in this directory.
    return frame.last && frame.last.adds > first ? frame.last.adds : first;
  }

  /** The first of them behind what was given, in one pass over the directory and bounded memory. */
  async #readWindow(frame: Frame, from: string): Promise<void> {
    const { last } = frame;
    let window: Entry[] = [];
    let dropped = false;
    for await (const portion of readEntries(frame.path)) {
      for (const entry of portion) {
        if (entry.adds >= from && (!last || compareEntries(entry, last) > 0)) window.push(entry);
      }
      const { windowEntries } = this.#indexes;
      if (window.length <= windowEntries) continue;
      window = window.sort(compareEntries).slice(0, windowEntries);
      dropped = true;
    }
    frame.entries = window.sort(compareEntries);
    frame.more = dropped;
  }
}
