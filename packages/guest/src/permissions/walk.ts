import {
  closeSync,
  constants,
  type Dir,
  type Dirent,
  fchownSync,
  fstatSync,
  lchownSync,
  lstatSync,
  opendirSync,
  openSync,
  type Stats,
} from "node:fs";
import { errnoOf, messageOf } from "../failure.ts";

export interface WalkOptions {
  readonly uid: number;
  readonly gid: number;
  /** Called often; must be cheap. */
  readonly onEntry?: (counts: WalkCounts) => void;
}

export interface WalkCounts {
  entries: number;
  changed: number;
}

export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

export interface WalkReport extends WalkCounts {
  /** Left as they are on purpose; the first hundred. */
  readonly skipped: Skipped[];
  skippedCount: number;
  /** Could not be changed although they should; the first hundred. */
  readonly failed: Skipped[];
  failedCount: number;
}

const openDirectory = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const openFile = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
const maxReported = 100;
/** Directories deeper than this are left through `..` again, with a check that it is the same directory. */
const maxHeld = 256;

interface Level {
  /** -1 while it is closed because the walk is far below it. */
  descriptor: number;
  readonly device: number;
  readonly inode: number;
  /** Names are bytes, not always UTF-8. */
  readonly name: Buffer;
  readonly pending: Buffer[];
}

/**
 * Makes a directory tree the property of `uid:gid`. Root walks a tree whose owner may be changing it at the same time,
 * so no path is ever followed: each directory is opened from its parent's handle without following links, everything
 * is named as `/proc/self/fd/N/name`, and a regular file is changed through its own handle. Only what is wrong is
 * touched. Not entered: other file systems. Not changed: files with several hard links that belong to somebody else.
 */
export class OwnerWalk {
  readonly report: WalkReport = { entries: 0, changed: 0, skipped: [], skippedCount: 0, failed: [], failedCount: 0 };
  readonly #options: WalkOptions;
  readonly #device: number;
  readonly #levels: Level[] = [];

  /** `root` is an open directory; it stays the caller's. */
  constructor(root: number, options: WalkOptions) {
    this.#options = options;
    const stat = fstatSync(root);
    this.#device = stat.dev;
    this.#levels.push({ descriptor: root, device: stat.dev, inode: stat.ino, name: Buffer.from("."), pending: [] });
    this.#own(stat, () => this.#change(root));
  }

  run(): WalkReport {
    const root = this.#levels[0];
    try {
      if (root !== undefined) this.#list(root);
      for (;;) {
        const level = this.#levels.at(-1);
        if (level === undefined) return this.report;
        const name = level.pending.pop();
        if (name !== undefined) this.#enter(level, name);
        else if (this.#levels.length === 1) return this.report;
        else this.#leave();
      }
    } finally {
      for (const level of this.#levels.slice(1)) if (level.descriptor >= 0) closeSync(level.descriptor);
    }
  }

  #enter(parent: Level, name: Buffer): void {
    let descriptor: number;
    try {
      descriptor = openSync(within(parent.descriptor, name), openDirectory);
    } catch (error) {
      // Removed, or replaced by a link or a file in the meantime: whoever did that owns what is there now.
      if (isGone(error) || errnoOf(error) === "ELOOP" || errnoOf(error) === "ENOTDIR") return;
      this.#failed(name, `cannot be opened: ${messageOf(error)}`);
      return;
    }
    const stat = fstatSync(descriptor);
    if (stat.dev !== this.#device) {
      closeSync(descriptor);
      this.#skipped(name, "another file system is mounted here");
      return;
    }
    this.#own(stat, () => this.#change(descriptor), name);
    const level: Level = { descriptor, device: stat.dev, inode: stat.ino, name, pending: [] };
    this.#levels.push(level);
    if (this.#levels.length > maxHeld) {
      closeSync(parent.descriptor);
      parent.descriptor = -1;
    }
    this.#list(level);
  }

  #leave(): void {
    const level = this.#levels.pop();
    const parent = this.#levels.at(-1);
    if (level === undefined || parent === undefined) return;
    if (parent.descriptor < 0) this.#reopen(level, parent);
    if (level.descriptor >= 0) closeSync(level.descriptor);
  }

  /** Back up a deep tree: only into the very directory that the walk came from. */
  #reopen(level: Level, parent: Level): void {
    const above = level.descriptor < 0 ? -1 : openSync(within(level.descriptor, Buffer.from("..")), openDirectory);
    const stat = above < 0 ? undefined : fstatSync(above);
    if (stat !== undefined && stat.dev === parent.device && stat.ino === parent.inode) {
      parent.descriptor = above;
      return;
    }
    if (above >= 0) closeSync(above);
    if (parent.pending.length > 0) this.#failed(parent.name, "it was moved while it was walked");
    parent.pending.length = 0;
  }

  /** Deals with all that is no directory; directories wait in `pending`. */
  #list(level: Level): void {
    let directory: Dir | undefined;
    try {
      const path = `/proc/self/fd/${level.descriptor}`;
      // Names as bytes; the types of Node only know the encodings of text.
      directory = opendirSync(path, { encoding: "buffer" as BufferEncoding, bufferSize: 512 });
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        this.#visit(level, entry);
      }
    } catch (error) {
      this.#failed(level.name, `cannot be listed: ${messageOf(error)}`);
    } finally {
      directory?.closeSync();
    }
  }

  #visit(level: Level, entry: Dirent): void {
    const name = Buffer.from(entry.name as unknown as Uint8Array);
    if (entry.isDirectory()) {
      level.pending.push(name);
      return;
    }
    const path = within(level.descriptor, name);
    try {
      const stat = lstatSync(path);
      if (stat.isDirectory()) level.pending.push(name);
      else if (stat.isFile()) this.#own(stat, () => this.#ownFile(path, name, stat), name);
      else this.#own(stat, () => this.#changeOther(path), name);
    } catch (error) {
      if (!isGone(error)) this.#failed(name, messageOf(error));
    }
  }

  /** Through its handle, so that what was checked is what is changed. False when it must stay as it is. */
  #ownFile(path: Buffer, name: Buffer, seen: Stats): boolean {
    const { uid } = this.#options;
    let descriptor: number;
    try {
      descriptor = openSync(path, openFile);
    } catch (error) {
      // A root that may give files away but not read them. Without another hard link it is this file or the user's.
      if (errnoOf(error) !== "EACCES" || seen.nlink > 1) throw error;
      return this.#changeOther(path);
    }
    try {
      const stat = fstatSync(descriptor);
      if (!stat.isFile()) return false;
      if (stat.nlink > 1 && stat.uid !== uid) {
        this.#skipped(name, `it has ${stat.nlink} hard links and belongs to user ${stat.uid}`);
        return false;
      }
      return this.#change(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  #change(descriptor: number): boolean {
    fchownSync(descriptor, this.#options.uid, this.#options.gid);
    return true;
  }

  /** A link, FIFO, socket or device: itself, never what it leads to. */
  #changeOther(path: Buffer): boolean {
    lchownSync(path, this.#options.uid, this.#options.gid);
    return true;
  }

  #own(stat: Stats, change: () => boolean, name: Buffer = Buffer.from(".")): void {
    const { uid, gid } = this.#options;
    this.report.entries += 1;
    if (stat.uid !== uid || stat.gid !== gid) {
      try {
        if (change()) this.report.changed += 1;
      } catch (error) {
        // A link or socket may have taken the place of a file; its maker owns it.
        const isOther = ["ELOOP", "ENXIO"].includes(errnoOf(error) ?? "");
        if (!isGone(error) && !isOther) this.#failed(name, messageOf(error));
      }
    }
    this.#options.onEntry?.(this.report);
  }

  #skipped(name: Buffer, reason: string): void {
    this.report.skippedCount += 1;
    if (this.report.skipped.length < maxReported) this.report.skipped.push({ path: this.#show(name), reason });
  }

  #failed(name: Buffer, reason: string): void {
    this.report.failedCount += 1;
    if (this.report.failed.length < maxReported) this.report.failed.push({ path: this.#show(name), reason });
  }

  #show(name: Buffer): string {
    const folders = this.#levels.slice(1).map((level) => level.name.toString());
    const path = [...folders, name.toString()].join("/");
    return path.length > 1000 ? `…${path.slice(-1000)}` : path;
  }
}

function within(descriptor: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${descriptor}/`), name]);
}

function isGone(error: unknown): boolean {
  return errnoOf(error) === "ENOENT" || errnoOf(error) === "ESTALE";
}
