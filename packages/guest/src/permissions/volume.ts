import { closeSync, constants, openSync, realpathSync } from "node:fs";
import { errnoOf, exitCodes, Failure, messageOf } from "../failure.ts";

export const defaultVolumeRoot = "/__modal/volumes";
export const openDirectoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * The directory behind a mount point, which must lie below the root of all volumes. The descriptor is the caller's to
 * close. Throws a Failure that says why when there is none.
 */
export function openVolume(path: string, volumeRoot: string): { resolved: string; descriptor: number } {
  const resolved = resolveVolume(path, volumeRoot);
  return { resolved, descriptor: openBelow(volumeRoot, resolved) };
}

/** Where the mount point's symlink leads, once and for all. */
function resolveVolume(path: string, volumeRoot: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const isMissing = errnoOf(error) === "ENOENT";
    throw new Failure({
      code: isMissing ? "not_found" : "unreadable",
      message: isMissing ? `${path} does not exist` : `${path} cannot be resolved: ${messageOf(error)}`,
      remedy: `Mount a volume at ${path}; it must lead to a directory below ${volumeRoot}.`,
      exitCode: isMissing ? exitCodes.notFound : exitCodes.software,
      cause: error,
    });
  }
}

/** Opens a directory below the volume root name by name from there, so that no link on the way is followed. */
function openBelow(volumeRoot: string, resolved: string): number {
  const base = realpathSync(volumeRoot);
  if (!resolved.startsWith(`${base}/`)) {
    throw new Failure({
      code: "outside_volumes",
      message: `${resolved} is not below ${base}: it is left alone`,
      remedy: "Only volumes are re-owned. Mount a volume there, or name its mount point.",
      exitCode: exitCodes.refused,
    });
  }
  let descriptor = openSync(base, openDirectoryFlags);
  for (const name of resolved.slice(base.length + 1).split("/")) {
    try {
      const next = openSync(`/proc/self/fd/${descriptor}/${name}`, openDirectoryFlags);
      closeSync(descriptor);
      descriptor = next;
    } catch (error) {
      closeSync(descriptor);
      throw new Failure({
        code: "refused",
        message: `${resolved} cannot be opened as a directory: ${messageOf(error)}`,
        remedy: "Name a mount point that leads to a directory of a volume.",
        exitCode: errnoOf(error) === "ENOENT" ? exitCodes.notFound : exitCodes.refused,
        cause: error,
      });
    }
  }
  return descriptor;
}
