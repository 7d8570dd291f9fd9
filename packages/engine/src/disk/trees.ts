import { chownSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { convertToImage, imageOf, openImage, type Place } from "./image.ts";
import { imageState, makeImage, resizeImage } from "./make-image.ts";
import { countTree } from "./plain.ts";
import { limitEmptyDirectory, openProject, projectOfTree, projectUsage, releaseProject } from "./project.ts";
import type { DiskKeeper, DiskKind, DiskLimit, DiskUse, OpenTree } from "./types.ts";

export interface TreesOptions {
  /** What new trees are, and plain ones become. */
  kind: DiskKind;
  /** How a mounted image is reached. */
  place: Place;
  /** Plain trees above this stay plain and counted: copying them takes long. */
  convertUpTo: DiskLimit;
  warn(message: string): void;
}

/** Of a tree that is being removed: the name alone says so, whatever dies. */
export const goneSuffix = ".gone";
/** Of a plain tree whose image stands. */
const oldSuffix = ".old";

/** Trees of every kind, each opened as what it is. */
export function createTrees({ kind, place, convertUpTo, warn }: TreesOptions): DiskKeeper {
  /** Found too large to be converted; not counted again. */
  const large = new Set<string>();

  const convert = async (path: string, limit: DiskLimit): Promise<void> => {
    const used = await countTree(path, convertUpTo);
    if (!used.complete || used.bytes > convertUpTo.bytes || used.inodes > convertUpTo.inodes) {
      large.add(path);
      warn(`${basename(path)} is too large to be put under a hard limit by itself; it stays counted only`);
      return;
    }
    try {
      await convertToImage(path, limit, place);
    } catch (error) {
      // The plain tree is untouched, and better than nothing.
      warn(`${basename(path)} could not be put under a hard limit and stays counted only: ${String(error)}`);
      return;
    }
    // Out of the way at once, so that nobody takes it for the tree.
    renameSync(path, `${path}${oldSuffix}`);
  };

  return {
    create: async (path, limit) => {
      if (kind === "image") return makeImage(imageOf(path), limit);
      mkdirSync(path, { mode: 0o755 });
      chownSync(path, 0, 0);
      if (kind === "project") limitEmptyDirectory(path, limit);
    },
    open: async (path, limit) => {
      if (kind === "image" && !existsSync(imageOf(path)) && !large.has(path)) await convert(path, limit);
      if (existsSync(imageOf(path))) {
        // The plain tree of before: this conversion's, or left by somebody who died right after the image's rename.
        for (const old of [path, `${path}${oldSuffix}`]) await rm(old, { recursive: true, force: true });
        return openImage(path, limit, place);
      }
      return kind === "project" ? openProject(path, limit) : plainTree(path, limit);
    },
    usage: (path) => usageOf(path, kind),
    resize: async (path, limit) => {
      if (existsSync(imageOf(path))) await resizeImage(imageOf(path), limit.bytes);
      else if (kind === "project") await (await openProject(path, limit)).close();
    },
    remove: removeTree,
  };
}

const remains = (path: string): string[] => [path, imageOf(path)].map((each) => `${each}${goneSuffix}`);

/** Takes a tree away from its name, at once; what it was lies under names that say that it is to be removed. */
export function setAside(path: string): void {
  for (const each of [path, imageOf(path)]) {
    if (!existsSync(each)) continue;
    rmSync(`${each}${goneSuffix}`, { recursive: true, force: true });
    renameSync(each, `${each}${goneSuffix}`);
  }
}

/** Nothing is left of a tree, whatever kind it was; nobody has it open. Finishes what somebody began who died. */
export async function removeTree(path: string): Promise<void> {
  setAside(path);
  const project = projectOfTree(`${path}${goneSuffix}`);
  for (const each of [...remains(path), `${path}${oldSuffix}`]) await rm(each, { recursive: true, force: true });
  releaseProject(dirname(path), project);
}

/** The same before anybody waits for this process. */
export function removeTreeSync(path: string): void {
  setAside(path);
  const project = projectOfTree(`${path}${goneSuffix}`);
  for (const each of [...remains(path), `${path}${oldSuffix}`]) rmSync(each, { recursive: true, force: true });
  releaseProject(dirname(path), project);
}

/** A plain tree: nobody stops who writes too much into it, the watch counts it and ends who does. */
export async function plainTree(path: string, limit: DiskLimit): Promise<OpenTree> {
  let last: DiskUse = { bytes: 0, inodes: 0, pendingBytes: 0 };
  statSync(path);
  return {
    kind: "soft",
    limit,
    source: path,
    use: () => last,
    recount: async () => {
      last = await countTree(path, { bytes: limit.bytes * 4, inodes: limit.inodes * 4 });
      return last;
    },
    close: async () => undefined,
  };
}

/** What a tree takes on the disk, open or not, without counting its files; 0 for a plain one. */
export async function quickUsage(path: string): Promise<number> {
  const image = statSync(imageOf(path), { throwIfNoEntry: false });
  if (image !== undefined) return image.blocks * 512;
  return projectOfTree(path) === 0 ? 0 : projectUsage(path).bytes;
}

/** Of a tree that nobody has open: what it takes on the disk. */
export async function usageOf(path: string, kind: DiskKind): Promise<DiskUse> {
  const file = imageOf(path);
  if (existsSync(file)) {
    return { bytes: Math.max(imageState(file).usedBytes, statSync(file).blocks * 512), inodes: 0, pendingBytes: 0 };
  }
  if (kind === "project") return projectUsage(path);
  return countTree(path);
}
