import { lchownSync, lstatSync, mkdirSync, opendirSync } from "node:fs";
import { join } from "node:path";

/** Gives a tree to a user, without following links. Only root can. */
function giveTree(path: string, uid: number, gid: number): void {
  lchownSync(path, uid, gid);
  if (!lstatSync(path).isDirectory()) return;
  using directory = opendirSync(path);
  for (let entry = directory.readSync(); entry; entry = directory.readSync())
    giveTree(join(path, entry.name), uid, gid);
}

/**
 * Hands the data directory to a user and becomes that user, for good. Without root's rights nothing changes. The
 * directory becomes the working directory, because the user may not be let through those above it.
 * @returns the path of the data directory from now on, and the uid that the process has
 */
export function dropPrivileges(options: { dataDir: string; uid: number | undefined; gid: number | undefined }): {
  readonly path: string;
  readonly uid: number;
} {
  const { dataDir, uid, gid = uid } = options;
  const current = process.geteuid?.() ?? -1;
  if (uid === undefined || gid === undefined || current !== 0) return { path: dataDir, uid: current };
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  // The whole tree only when it is not this user's yet: it may hold millions of files.
  if (lstatSync(dataDir).uid !== uid) giveTree(dataDir, uid, gid);
  process.chdir(dataDir);
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  return { path: ".", uid: process.geteuid?.() ?? -1 };
}
