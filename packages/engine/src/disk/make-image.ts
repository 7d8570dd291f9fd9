import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fsyncSync, openSync, readSync, renameSync, statSync, truncateSync } from "node:fs";
import { rm } from "node:fs/promises";
import { KeeperError } from "../keeper/keeper-error.ts";
import { RUNTIME_ENV } from "../keeper/oci-command.ts";
import type { DiskLimit } from "./types.ts";

/** Images: a journalled ext4 in a sparse file. Without a journal an image is damaged by every crash, silently. */

/** Of a file that is being made: it is nothing before it has its own name. */
export const unfinishedSuffix = ".new";
/** Smaller ones have no room for a journal. */
export const smallestImage = 16 * 2 ** 20;
const blockBytes = 4096;
const toolTimeoutMs = 600_000;

const make = [
  ...["-q", "-F", "-b", String(blockBytes), "-I", "256"],
  // Nothing is kept for the host's root: overlayfs writes as that.
  ...["-m", "0", "-O", "has_journal", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"],
];

export interface ToolResult {
  code: number;
  words: string;
}

/** Runs a tool to its end; its words are the last kilobytes of what it said. `fds` become descriptors 3, 4, … */
export async function runTool(name: string, args: string[], fds: number[] = []): Promise<ToolResult> {
  const child = spawn(name, args, { stdio: ["ignore", "pipe", "pipe", ...fds], env: RUNTIME_ENV, cwd: "/" });
  let words = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      words = `${words}${chunk.toString("utf8")}`.slice(-4_096);
    });
  }
  const timer = setTimeout(() => child.kill("SIGKILL"), toolTimeoutMs);
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return { code: code ?? 255, words: words.trim() };
  } finally {
    clearTimeout(timer);
  }
}

async function mustRun(name: string, args: string[], fds?: number[]): Promise<void> {
  const { code, words } = await runTool(name, args, fds);
  if (code !== 0) throw new KeeperError("resource_exhausted", `${name} failed (${code}): ${words}`);
}

/** A multiple of the block size, large enough for a journal. */
export function imageBytes(bytes: number): number {
  return Math.max(smallestImage, Math.ceil(bytes / blockBytes) * blockBytes);
}

/** Makes `file`, whole or not at all: an empty file system. */
export async function makeImage(file: string, limit: DiskLimit): Promise<void> {
  const unfinished = `${file}${unfinishedSuffix}`;
  try {
    await rm(unfinished, { force: true });
    closeSync(openSync(unfinished, "wx", 0o600));
    truncateSync(unfinished, imageBytes(limit.bytes));
    // Some inodes are the file system's own; a fraction of a group is rounded up.
    await mustRun("mkfs.ext4", [...make, "-N", String(limit.inodes + 16), unfinished]);
    renameSync(unfinished, file);
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** What lies at `path` is on the disk when this resolves. */
export async function sync(path: string): Promise<void> {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export interface ImageState {
  /** Ended in order, or with nothing but a journal to replay. */
  sound: boolean;
  bytes: number;
  usedBytes: number;
}

const superblockAt = 1024;
const stateClean = 1;
const stateErrors = 2;
const incompatRecover = 4;

/** What the superblock of an image that nobody has mounted says. */
export function imageState(file: string): ImageState {
  const block = Buffer.alloc(1024);
  const fd = openSync(file, "r");
  try {
    readSync(fd, block, 0, block.length, superblockAt);
  } finally {
    closeSync(fd);
  }
  const state = block.readUInt16LE(0x3a);
  const replays = (block.readUInt32LE(0x60) & incompatRecover) !== 0;
  const size = blockBytes;
  const total = block.readUInt32LE(0x04) + block.readUInt32LE(0x150) * 2 ** 32;
  const free = block.readUInt32LE(0x0c) + block.readUInt32LE(0x158) * 2 ** 32;
  return {
    sound: (state & stateErrors) === 0 && ((state & stateClean) !== 0 || replays),
    bytes: statSync(file).size,
    usedBytes: Math.max(0, total - free) * size,
  };
}

/** Replays the journal and mends what a full disk or a crash left. Throws when it cannot. */
export async function mendImage(file: string): Promise<void> {
  let { code, words } = await runTool("e2fsck", ["-f", "-p", file]);
  // What it does not dare to decide by itself has no better answer here either.
  if ((code & 4) !== 0) ({ code, words } = await runTool("e2fsck", ["-f", "-y", file]));
  if (code >= 4) throw new KeeperError("unavailable", `${file} is damaged and could not be repaired: ${words}`);
}

/** To that size, with all that is in it. The image must not be mounted. */
export async function resizeImage(file: string, bytes: number): Promise<void> {
  const wanted = imageBytes(bytes);
  const { size } = statSync(file);
  if (wanted === size) return;
  await mendImage(file);
  if (wanted > size) truncateSync(file, wanted);
  await mustRun("resize2fs", [file, `${wanted / 1024}K`]);
  if (wanted < size) truncateSync(file, wanted);
  await sync(file);
}

/** Copies a tree with everything that belongs to it (ids, modes, times, hard links, attributes) into an open directory. */
export async function copyTree(from: string, into: { fd: number; directory: string }): Promise<void> {
  await mustRun("cp", ["-a", "--sparse=always", "--", `${from}/.`, `/proc/self/fd/3/${into.directory}/`], [into.fd]);
}
