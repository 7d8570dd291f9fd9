import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import type { DiskUse } from "./types.ts";

/** What a count may cost before it is given up. */
export interface CountBound {
  bytes: number;
  inodes: number;
}

/**
 * Counts a plain tree, each hard link of a file once; never follows a link. Stops early, with what it has, where the
 * tree is past `bound`. Nobody need hold still meanwhile: what vanishes under its hands is not counted.
 */
export async function countTree(root: string, bound?: CountBound): Promise<DiskUse & { complete: boolean }> {
  const use: DiskUse = { bytes: 0, inodes: 0, pendingBytes: 0 };
  const linked = new Set<string>();
  const pending = [root];
  // Names that wait count too: so what is remembered is bounded as well.
  const over = () => bound !== undefined && (use.bytes > bound.bytes || use.inodes + pending.length > bound.inodes + 1);
  for (let next = pending.pop(); next !== undefined && !over(); next = pending.pop()) {
    const stat = await present(lstat(next));
    if (stat === undefined) continue;
    if (!stat.isDirectory() && stat.nlink > 1) {
      const key = `${stat.dev}:${stat.ino}`;
      if (linked.has(key)) continue;
      linked.add(key);
    }
    use.bytes += stat.blocks * 512;
    use.inodes += 1;
    if (!stat.isDirectory()) continue;
    const entries = await present(opendir(next, { bufferSize: 256 }));
    if (entries === undefined) continue;
    try {
      for await (const entry of entries) pending.push(join(next, entry.name));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
  return { ...use, complete: pending.length === 0 };
}

async function present<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
