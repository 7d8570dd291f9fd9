import { randomInt } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, limitProject, projectOf, projectUse, setProject } from "./calls.ts";
import type { DiskLimit, DiskUse, OpenTree } from "./types.ts";

/**
 * Trees whose file system counts and refuses by project id (ext4 and XFS). The id is kept by the directory itself and
 * the limit by the file system: there is no list to lose. A tree whose id has no limit yet was being put into it when
 * somebody died.
 */

/** Above what administrators number by hand. */
const firstProject = 0x4000_0000;
const lastProject = 0x7fff_ffff;
const tries = 64;
const roomFactor = 1.3;
const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

function withDirectory<T>(path: string, work: (fd: number) => T): T {
  const fd = openSync(path, directoryFlags);
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

/** An id that nobody uses on this file system: neither limited nor counted. */
function freeProject(fd: number): number {
  for (let tried = 0; tried < tries; tried++) {
    const project = randomInt(firstProject, lastProject);
    const { limitBytes, limitInodes, bytes, inodes } = projectUse(fd, project);
    if (limitBytes === 0 && limitInodes === 0 && bytes === 0 && inodes === 0) return project;
  }
  throw new Error("no project id is free");
}

/** Puts an empty directory under a limit. */
export function limitEmptyDirectory(path: string, limit: DiskLimit): number {
  return withDirectory(path, (fd) => {
    const project = freeProject(fd);
    limitProject(fd, project, limit);
    setProject(fd, { project, directory: true, subject: path });
    return project;
  });
}

function limitedProject(fd: number, path: string): number | undefined {
  const project = projectOf(fd, path);
  if (project === 0) return undefined;
  return projectUse(fd, project).limitBytes > 0 ? project : undefined;
}

/** A tree under its limit; one that has none yet, or was left half way, is walked first. Nobody may write it meanwhile. */
export async function openProject(path: string, limit: DiskLimit): Promise<OpenTree> {
  const known = withDirectory(path, (fd) => limitedProject(fd, path));
  const project = known ?? (await adopt(path));
  const held = openSync(path, directoryFlags);
  let open = true;
  const { bytes, inodes } = projectUse(held, project);
  const raised = {
    bytes: Math.max(limit.bytes, Math.ceil(bytes * roomFactor)),
    inodes: Math.max(limit.inodes, Math.ceil(inodes * roomFactor)),
  };
  // What fits is given exactly what it shall have; what is over its limit keeps what it holds and a little room.
  const given = bytes <= limit.bytes && inodes <= limit.inodes ? limit : raised;
  try {
    limitProject(held, project, given);
  } catch (error) {
    closeSync(held);
    throw error;
  }
  return {
    kind: "project",
    limit: given,
    source: path,
    use: () => ({ ...useOf(held, project) }),
    close: async () => {
      if (open) closeSync(held);
      open = false;
    },
  };
}

function useOf(fd: number, project: number): DiskUse {
  const { bytes, inodes } = projectUse(fd, project);
  return { bytes, inodes, pendingBytes: 0 };
}

/** Puts everything that is there into one project; the limit comes last. */
async function adopt(path: string): Promise<number> {
  const begun = withDirectory(path, (fd) => projectOf(fd, path));
  const project = begun === 0 ? withDirectory(path, freeProject) : begun;
  withDirectory(path, (fd) => setProject(fd, { project, directory: true, subject: path }));
  const pending = [path];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for await (const entry of await opendir(next)) {
      const child = join(next, entry.name);
      if (entry.isDirectory()) pending.push(child);
      // Links, sockets, pipes and devices cannot carry one.
      if (!entry.isDirectory() && !entry.isFile()) continue;
      const fd = openSync(child, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        setProject(fd, { project, directory: entry.isDirectory(), subject: child });
      } finally {
        closeSync(fd);
      }
    }
  }
  return project;
}

export function projectUsage(path: string): DiskUse {
  return withDirectory(path, (fd) => useOf(fd, projectOf(fd, path)));
}

/** To be called when the tree is gone: its id may be given out again. `directory` is anything on the file system. */
export function releaseProject(directory: string, project: number): void {
  // One that we did not give out is not ours to change.
  if (project < firstProject || project > lastProject) return;
  withDirectory(directory, (fd) => limitProject(fd, project, { bytes: 0, inodes: 0 }));
}

/** 0 where the tree has none, or the file system knows none. */
export function projectOfTree(path: string): number {
  try {
    return withDirectory(path, (fd) => projectOf(fd, path));
  } catch (error) {
    // No such directory, or a file system without projects.
    if (errnoOf(error) === undefined) throw error;
    return 0;
  }
}
