import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";

/** A component of the path is no directory, or a link. */
export class SubdirectoryError extends Error {
  override name = "SubdirectoryError";
}

/**
 * Makes sure that `subPath` below `root` is a directory reached without any link, made where missing, and returns its
 * path. What a volume holds was written by sandboxes: every component is opened from its parent's handle. The caller
 * sees to it that nobody who could change a component runs (see `mayMoveUnder`).
 */
export function subdirectoryOf(root: string, subPath: string): string {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  // The root's own path may lead over a descriptor of ours.
  let handle = openSync(`${root}/.`, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const name of subPath.split("/")) {
      const path = `/proc/self/fd/${handle}/${name}`;
      try {
        mkdirSync(path, { mode: 0o755 });
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      }
      const next = openSync(path, flags);
      closeSync(handle);
      handle = next;
    }
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOTDIR" && code !== "ELOOP") throw error;
    throw new SubdirectoryError(`'${subPath}' is not a directory of the volume; links are not followed`);
  } finally {
    closeSync(handle);
  }
  return join(root, subPath);
}

/** Whether a sandbox that mounts `other` (undefined: the whole volume) could replace a component of `subPath`. */
export function mayMoveUnder(other: string | undefined, subPath: string): boolean {
  return other === undefined || subPath.startsWith(`${other}/`);
}
