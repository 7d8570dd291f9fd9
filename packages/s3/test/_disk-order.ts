import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { DiskEvent } from "./_watched-disk.ts";

/** The process with a disk that is watched, and as slow as is asked for. */
export function watchedDisk(env: Readonly<Record<string, string>>): string[] {
  const assigned = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return ["env", ...assigned, `NODE_OPTIONS=--import ${new URL("_watched-disk.ts", import.meta.url).href}`];
}

/** Why a power cut might undo the object at a path; nothing where it cannot. */
export function whatIsMissing(events: readonly DiskEvent[], path: string, root: string): string[] {
  const missing: string[] = [];
  const at = (from: number, test: (event: DiskEvent) => boolean): number => {
    const found = events.slice(from).findIndex(test);
    return found < 0 ? Number.POSITIVE_INFINITY : from + found;
  };
  /** When a sync that began after `from` was over. */
  const synced = (inode: number | undefined, from: number): number => {
    const step = (state: string) => (e: DiskEvent) => e.what === "sync" && e.state === state && e.inode === inode;
    return at(at(from, step("begins")), step("ends"));
  };
  const inodeOf = (directory: string) =>
    events.findLast((e) => e.what === "made" && e.path === directory)?.inode ?? statSync(directory).ino;
  const namedAt = events.findLastIndex((e) => e.what === "named" && e.path === path);
  const inode = events[namedAt]?.inode;
  const writes = events.flatMap((e, i) => (e.what === "write" && e.inode === inode ? [{ i, state: e.state }] : []));
  const written = writes.at(-1)?.i ?? Number.POSITIVE_INFINITY;
  if (namedAt < 0) missing.push("its name");
  if (writes.at(-1)?.state !== "ends" || written > namedAt) missing.push("the end of its writes before its name");
  if (synced(inode, written) > namedAt) missing.push("its sync between its last write and its name");
  if (!Number.isFinite(synced(inodeOf(dirname(path)), namedAt))) missing.push("the sync of its directory");
  for (let made = dirname(path); made.length > root.length; made = dirname(made)) {
    const madeAt = events.findLastIndex((e) => e.what === "made" && e.path === made);
    if (madeAt >= 0 && !Number.isFinite(synced(inodeOf(dirname(made)), madeAt))) missing.push(`the sync above ${made}`);
  }
  return missing;
}
