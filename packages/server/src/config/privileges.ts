import { chmodSync, lchownSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Hands the data directory to `uid` and becomes it, for good. Does nothing unless started as root. */
export function dropPrivileges(options: { dataDir: string; uid: number | undefined; gid: number | undefined }): void {
  const { dataDir, uid, gid = uid } = options;
  process.umask(0o077);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (uid === undefined || gid === undefined || process.getuid?.() !== 0) return;
  for (const name of readdirSync(dataDir)) lchownSync(join(dataDir, name), uid, gid);
  lchownSync(dataDir, uid, gid);
  chmodSync(dataDir, 0o700);
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}
