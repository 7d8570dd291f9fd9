import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { errnoOf, messageOf } from "../failure.ts";
import { asUser } from "./as-user.ts";
import { openDirectoryFlags, openVolume } from "./volume.ts";

export interface HomeOptions {
  readonly uid: number;
  readonly gid: number;
  /** Real directories must lie below it. */
  readonly volumeRoot: string;
}

export interface HomeReport {
  /** The mount point of the volume that it lies in. */
  readonly home: string;
  /** It was not there, or not whole, before. */
  readonly made: boolean;
  /** Entries of the volume's top, which was HOME for some before, that are in it now. */
  readonly moved: number;
  /** Why it is not as it should be, e.g. on a full disk. Null: it is. */
  readonly error: string | null;
}

const homeName = "home";
/** A link in it to where Claude Code keeps its own things. The last that is made: with it, it is whole. */
const linkName = ".claude";
/** Of the volume's top: this, and what file systems keep for themselves. */
const stays = new Set([homeName, linkName, "lost+found"]);

/**
 * HOME: a real directory of the volume, with a link to Claude Code's own. Whatever the user put there instead is kept
 * beside it. Done with the user's rights, and below the volume's handle: a link can lead nothing of root's anywhere.
 */
export function prepareHome(path: string, options: HomeOptions): HomeReport {
  const { descriptor: volume } = openVolume(path, options.volumeRoot);
  try {
    return asUser(options, () => {
      try {
        return { home: path, ...prepare(volume), error: null };
      } catch (error) {
        return { home: path, made: false, moved: 0, error: messageOf(error) };
      }
    });
  } finally {
    closeSync(volume);
  }
}

function prepare(volume: number): { made: boolean; moved: number } {
  const known = openOwn(within(volume, homeName));
  const home = known ?? make(volume);
  try {
    if (exists(within(home, linkName))) return { made: false, moved: 0 };
    const moved = moveInto(home, volume);
    symlinkSync(`../${linkName}`, within(home, linkName));
    return { made: true, moved };
  } finally {
    closeSync(home);
  }
}

function make(volume: number): number {
  const path = within(volume, homeName);
  if (exists(path)) renameSync(path, within(volume, `${homeName}.aside-${Date.now()}`));
  mkdirSync(path, { mode: 0o755 });
  return openSync(path, openDirectoryFlags);
}

/** What lies at the volume's top, but nothing over what is in HOME already. Names are bytes, not always UTF-8. */
function moveInto(home: number, volume: number): number {
  let moved = 0;
  for (const name of readdirSync(`/proc/self/fd/${volume}`, { encoding: "buffer" })) {
    if (stays.has(name.toString()) || exists(within(home, name))) continue;
    renameSync(within(volume, name), within(home, name));
    moved += 1;
  }
  return moved;
}

/** Undefined when there is none, or something else of that name. */
function openOwn(path: Buffer): number | undefined {
  try {
    return openSync(path, openDirectoryFlags);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

function exists(path: Buffer): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function within(descriptor: number, name: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${descriptor}/`), Buffer.from(name as string)]);
}
