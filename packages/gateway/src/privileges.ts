import { access, chmod, constants, lchown, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * Hands the data directory to `uid` and becomes it, for good. Does nothing when no uid is wanted or this is not root.
 */
export async function dropPrivileges(options: {
  dataDir: string;
  uid: number | undefined;
  gid: number | undefined;
}): Promise<void> {
  const { dataDir, uid, gid } = options;
  process.umask(0o077);
  if (uid === undefined || gid === undefined || process.getuid?.() !== 0) return;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  for (const name of await readdir(dataDir)) await lchown(join(dataDir, name), uid, gid);
  await lchown(dataDir, uid, gid);
  await chmod(dataDir, 0o700);
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK).catch((error: unknown) => {
    const todo = `Give the directories above it mode 711: then uid ${uid} can pass through them without reading them.`;
    throw new Error(`The data directory ${dataDir} cannot be entered as uid ${uid}. ${todo}`, { cause: error });
  });
}
