import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statfsSync,
  statSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { moveMount, openTree, SyscallError } from "../keeper/syscalls.ts";
import { attachLoop, closeElsewhere, type Loop, mountDetached, openLoopOf, unmountElsewhere } from "./calls.ts";
import {
  copyTree,
  imageState,
  makeImage,
  mendImage,
  resizeImage,
  smallestImage,
  sync,
  unfinishedSuffix,
} from "./make-image.ts";
import { countTree } from "./plain.ts";
import { type DiskLimit, type DiskUse, imageSuffix, type OpenTree } from "./types.ts";

/** In an image of a volume: its root. Beside it lies what ext4 keeps for itself, which nobody inside shall see. */
const filesDirectory = "files";
/** A tree that was copied is over its limit by its own making: it gets room to breathe. */
const roomFactor = 1.3;
/** What kernels before 6.15 say, which do not clone what is mounted nowhere. */
const EINVAL = 22;

export const imageOf = (path: string): string => `${path}${imageSuffix}`;

/** A mounted image. `root` is where its file system can be reached. */
export interface MountedImage {
  root: string;
  use(): DiskUse;
  close(): Promise<void>;
}

/**
 * Mounts an image where nobody sees it. The mount and its loop device live as long as a descriptor or a clone of the
 * mount does, so that no death of ours leaves any; one that still lives, held by what an earlier keeper started, is
 * shared: two mounts of one image would ruin it.
 */
export async function mountImage(
  file: string,
  place: Place,
  prepare: () => Promise<void> = async () => undefined,
): Promise<MountedImage> {
  const loop = livingLoop(file) ?? (await freshLoop(file, prepare));
  let fd: number;
  try {
    const flags = ["discard", "noinit_itable", "errors=remount-ro"];
    fd = await mountDetached({ type: "ext4", source: loop.path, flags });
  } finally {
    closeSync(loop.fd);
  }
  const placed = await place(fd);
  let closing: Promise<void> | undefined;
  return {
    root: placed.path,
    use: () => {
      const { blocks, bfree, bsize, files, ffree } = statfsSync(placed.path);
      const bytes = (blocks - bfree) * bsize;
      return { bytes, inodes: files - ffree, pendingBytes: Math.max(0, bytes - statSync(file).blocks * 512) };
    },
    close: () => {
      closing ??= placed.leave();
      return closing;
    },
  };
}

export interface Placed {
  /** Below it lies what is mounted. */
  path: string;
  leave(): Promise<void>;
}

/** Whether this kernel clones a mount that has no place; where it does, the mount needs none. */
export function clonesUnplaced(fd: number): boolean {
  try {
    closeSync(openTree(`/proc/self/fd/${fd}`));
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.errno === EINVAL) return false;
    throw error;
  }
}

let serial = 0;

/** Mounted nowhere where this kernel allows that; else below `directory`, of which only this namespace may know. */
export function placeBelow(directory: string, allowed: (fd: number) => boolean = clonesUnplaced): Place {
  return async (fd) => {
    // By our pid, so that programs that we start can go there too.
    if (allowed(fd)) return { path: `/proc/${process.pid}/fd/${fd}`, leave: () => closeElsewhere(fd) };
    const path = join(directory, String(serial++));
    try {
      mkdirSync(path);
      moveMount(fd, path);
    } finally {
      closeSync(fd);
    }
    const leave = async () => {
      await unmountElsewhere(path);
      rmdirSync(path);
    };
    return { path, leave };
  };
}

async function freshLoop(file: string, prepare: () => Promise<void>): Promise<Loop> {
  if (!imageState(file).sound) await mendImage(file);
  await prepare();
  const fd = openSync(file, constants.O_RDWR | directFlag(file));
  try {
    return attachLoop({ fd, path: file });
  } finally {
    closeSync(fd);
  }
}

/** Around the page cache, where the disk's file system can do that: else everything is in memory twice. */
function directFlag(file: string): number {
  try {
    closeSync(openSync(file, constants.O_RDONLY | constants.O_DIRECT));
    return constants.O_DIRECT;
  } catch {
    // tmpfs and some network file systems cannot.
    return 0;
  }
}

function livingLoop(file: string): Loop | undefined {
  const { dev, ino } = statSync(file, { bigint: true });
  for (const name of readdirSync("/sys/block")) {
    if (!name.startsWith("loop")) continue;
    const told = `/sys/block/${name}/loop/backing_file`;
    try {
      if (basename(readFileSync(told, "utf8").trim()) !== basename(file)) continue;
    } catch {
      // Not bound.
      continue;
    }
    const loop = openLoopOf(`/dev/${name}`, { dev, ino });
    if (loop !== undefined) return loop;
  }
  return undefined;
}

export type Place = (fd: number) => Promise<Placed>;

/** A volume in an image: made, converted or brought to its size first if need be. */
export async function openImage(path: string, limit: DiskLimit, place: Place): Promise<OpenTree> {
  const file = imageOf(path);
  return asTree(file, await mountImage(file, place, () => fit(file, limit)));
}

async function asTree(file: string, mounted: MountedImage): Promise<OpenTree> {
  const source = `${mounted.root}/${filesDirectory}`;
  try {
    if (!existsSync(source)) mkdirSync(source, { mode: 0o755 });
    const { files } = statfsSync(mounted.root);
    const limit = { bytes: statSync(file).size, inodes: files };
    return { kind: "image", limit, source, use: mounted.use, close: mounted.close };
  } catch (error) {
    await mounted.close();
    throw error;
  }
}

/** What is in it is never cut. */
async function fit(file: string, limit: DiskLimit): Promise<void> {
  const { bytes, usedBytes } = imageState(file);
  const wanted = Math.max(limit.bytes, usedBytes * roomFactor, smallestImage);
  // Its own tables take part of it: a few per cent more or less are no reason to move everything.
  if (wanted > bytes || wanted < bytes * 0.95) await resizeImage(file, wanted);
}

/** Puts a plain tree into an image. Until the rename the plain one is the truth, from then on the image is. */
export async function convertToImage(path: string, limit: DiskLimit, place: Place): Promise<void> {
  const file = imageOf(path);
  const used = await countTree(path);
  const room = { bytes: used.bytes * roomFactor + smallestImage, inodes: Math.ceil(used.inodes * roomFactor) + 64 };
  const size = { bytes: Math.max(limit.bytes, room.bytes), inodes: Math.max(limit.inodes, room.inodes) };
  const building = `${path}${unfinishedSuffix}${imageSuffix}`;
  try {
    await rm(building, { force: true });
    await makeImage(building, size);
    const mounted = await mountImage(building, place);
    try {
      mkdirSync(join(mounted.root, filesDirectory), { mode: 0o755 });
      const fd = openSync(mounted.root, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        await copyTree(path, { fd, directory: filesDirectory });
      } finally {
        closeSync(fd);
      }
    } finally {
      // Writes everything back and waits for it.
      await mounted.close();
    }
    await sync(building);
    renameSync(building, file);
    await sync(dirname(file));
  } finally {
    if (existsSync(building)) await rm(building, { force: true });
  }
}
