import { opendir } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { errnoOf } from "../faults.ts";
import { type EntryName, parseEntryName } from "./paths.ts";

export interface Entry extends EntryName {
  readonly fileName: string;
}

/** Entries sorted or merged before others get the event loop: a few milliseconds. */
const SLICE = 5_000;

/** In the order of keys: an object before the directory of the same bytes. */
export function compareEntries(a: EntryName, b: EntryName): number {
  return a.adds < b.adds ? -1 : a.adds > b.adds ? 1 : Number(b.isObject) - Number(a.isObject);
}

/** Where the first entry stands that is not before `adds`. */
export function lowerBound(entries: readonly EntryName[], adds: string): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle]?.adds ?? "") < adds) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A directory's entries in portions as they come from the disk; nothing where it vanished. */
export async function* readEntries(path: string): AsyncGenerator<Entry[]> {
  try {
    let portion: Entry[] = [];
    for await (const { name: fileName } of await opendir(path, { bufferSize: 1024 })) {
      const parsed = parseEntryName(fileName);
      if (parsed) portion.push({ ...parsed, fileName });
      if (portion.length < SLICE) continue;
      yield portion;
      portion = [];
    }
    yield portion;
  } catch (error) {
    // A directory may become empty and vanish while we read.
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Sorted, without ever holding the event loop for long. */
export async function sortInSlices(portions: readonly Entry[][]): Promise<Entry[]> {
  let runs = portions.map((portion) => portion.sort(compareEntries));
  while (runs.length > 1) {
    const merged: Entry[][] = [];
    for (let at = 0; at < runs.length; at += 2) merged.push(await merge(runs[at] ?? [], runs[at + 1] ?? []));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge(left: Entry[], right: Entry[]): Promise<Entry[]> {
  const result: Entry[] = [];
  let [i, j] = [0, 0];
  for (;;) {
    const [a, b] = [left[i], right[j]];
    const taken = a && b ? (compareEntries(a, b) <= 0 ? a : b) : (a ?? b);
    if (!taken) return result;
    if (taken === a) i++;
    else j++;
    result.push(taken);
    if (result.length % SLICE === 0) await nextTurn();
  }
}

interface Indexed {
  entries: Entry[];
}

/**
 * The sorted names of directories that were listed of late, kept true by whoever changes them. A directory is read and
 * sorted once, not for each page; the names kept are bounded, the longest unused go first.
 */
export class DirectoryIndexes {
  readonly #maxEntries: number;
  /** In the order of their last use. */
  readonly #known = new Map<string, Indexed>();
  readonly #loading = new Map<
    string,
    { changes: (() => void)[]; target: Indexed; loaded: Promise<Entry[] | undefined> }
  >();
  #count = 0;

  /** Of a directory that is too large to be kept: as many are picked out with each reading of it. */
  readonly windowEntries: number;

  constructor(options: { readonly maxEntries?: number; readonly windowEntries?: number } = {}) {
    this.#maxEntries = options.maxEntries ?? 200_000;
    this.windowEntries = options.windowEntries ?? 4_000;
  }

  /** How many names are held. */
  get size(): number {
    return this.#count;
  }

  /** The directory's entries in order, not to be changed; undefined where they are too many to be kept. */
  async entries(path: string): Promise<readonly Entry[] | undefined> {
    const known = this.#known.get(path);
    if (known) {
      this.#known.delete(path);
      this.#known.set(path, known);
      return known.entries;
    }
    return await (this.#loading.get(path)?.loaded ?? this.#load(path));
  }

  #load(path: string): Promise<Entry[] | undefined> {
    const target: Indexed = { entries: [] };
    const changes: (() => void)[] = [];
    const loaded = this.#read(path, target, changes).finally(() => this.#loading.delete(path));
    this.#loading.set(path, { changes, target, loaded });
    return loaded;
  }

  async #read(path: string, target: Indexed, changes: readonly (() => void)[]): Promise<Entry[] | undefined> {
    const portions: Entry[][] = [];
    let total = 0;
    for await (const portion of readEntries(path)) {
      total += portion.length;
      if (total > this.#maxEntries / 2) return undefined;
      portions.push(portion);
    }
    target.entries = await sortInSlices(portions);
    // What was changed meanwhile may or may not have been seen by the reading: doing it again is right either way.
    for (const change of changes) change();
    this.#keep(path, target);
    return target.entries;
  }

  #keep(path: string, indexed: Indexed): void {
    this.#known.set(path, indexed);
    this.#count += indexed.entries.length;
    for (const [oldest, { entries }] of this.#known) {
      if (this.#count <= this.#maxEntries || oldest === path) break;
      this.#known.delete(oldest);
      this.#count -= entries.length;
    }
  }

  /** After the name came to be in the directory. */
  added(path: string, fileName: string): void {
    this.#change(path, fileName, (entries, at, there, entry) => {
      if (!there) entries.splice(at, 0, entry);
    });
  }

  /** After an object's name was removed from the directory. */
  removed(path: string, fileName: string): void {
    this.#change(path, fileName, (entries, at, there) => {
      if (there) entries.splice(at, 1);
    });
  }

  /** After the directory itself, or one in it, was removed: what is known of it is read again when it is asked for. */
  forget(path: string): void {
    const known = this.#known.get(path);
    this.#known.delete(path);
    this.#count -= known?.entries.length ?? 0;
    // A reading under way may have seen it before; a later one does not join it.
    this.#loading.get(path)?.changes.push(() => queueMicrotask(() => this.forget(path)));
  }

  #change(
    path: string,
    fileName: string,
    apply: (entries: Entry[], at: number, there: boolean, entry: Entry) => void,
  ): void {
    const parsed = parseEntryName(fileName);
    if (!parsed) return;
    const entry = { ...parsed, fileName };
    const change = (indexed: Indexed): void => {
      const { entries } = indexed;
      let at = lowerBound(entries, entry.adds);
      for (let other = entries[at]; other && compareEntries(other, entry) < 0; other = entries[at]) at++;
      apply(entries, at, entries[at]?.fileName === fileName, entry);
    };
    const known = this.#known.get(path);
    if (known) {
      const before = known.entries.length;
      change(known);
      this.#count += known.entries.length - before;
    }
    const loading = this.#loading.get(path);
    loading?.changes.push(() => change(loading.target));
  }
}
