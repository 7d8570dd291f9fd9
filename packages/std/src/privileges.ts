/** As much of Node's `process` as this needs; this package knows no Node. */
export interface PrivilegedProcess {
  umask(mask: number): unknown;
  chdir(path: string): void;
  getuid?(): number;
  setgroups?(groups: readonly number[]): void;
  setgid?(id: number): void;
  setuid?(id: number): void;
}

/** As much of `node:fs`. */
export interface GivingFiles {
  mkdirSync(path: string, options: { recursive: true; mode: number }): unknown;
  chmodSync(path: string, mode: number): void;
  lchownSync(path: string, uid: number, gid: number): void;
  lstatSync(path: string): { readonly uid: number; isDirectory(): boolean };
  readdirSync(path: string): string[];
  accessSync(path: string, mode: number): void;
}

export interface DropOptions {
  /** Made if it is missing, mode 0700. */
  dataDir: string;
  /** Absent: nothing is given away, and the process stays who it is. */
  uid: number | undefined;
  /** Default: the same number. */
  gid: number | undefined;
  /** It becomes the working directory: its user need not be let through those above it. */
  enter?: boolean;
}

const readWriteEnter = 7;

/**
 * Hands the data directory to a user and becomes that user, for good. Without root's rights nothing changes. What the
 * process writes from here on is its user's alone. Gives the path of the directory from now on. Throws when the user
 * cannot come to it.
 */
export function dropPrivileges(
  { process, fs }: { process: PrivilegedProcess; fs: GivingFiles },
  { dataDir, uid, gid = uid, enter = false }: DropOptions,
): string {
  process.umask(0o077);
  fs.mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (uid === undefined || gid === undefined || process.getuid?.() !== 0) return dataDir;
  const isLink = !fs.lstatSync(dataDir).isDirectory();
  give(fs, dataDir, { uid, gid });
  if (enter) process.chdir(dataDir);
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  const path = enter ? "." : dataDir;
  try {
    // As the user: root would close whatever a link leads to.
    fs.chmodSync(path, 0o700);
    fs.accessSync(path, readWriteEnter);
  } catch (error) {
    const todo = isLink
      ? `It is a link, and nothing behind a link is given away: run chown -R ${uid}:${gid} on what it leads to.`
      : `Give the directories above it mode 711: then uid ${uid} can pass through them without reading them.`;
    throw new Error(`The data directory ${dataDir} cannot be entered as uid ${uid}. ${todo}`, { cause: error });
  }
  return path;
}

/**
 * The directory, what lies in it, and below that whatever is not the user's yet: it may hold millions of files. Links
 * are not followed. A directory comes after what is in it: whoever is interrupted begins there again.
 */
function give(fs: GivingFiles, path: string, user: { uid: number; gid: number }, depth = 0): void {
  const stat = fs.lstatSync(path);
  if (depth > 1 && stat.uid === user.uid) return;
  if (stat.isDirectory() && (depth === 0 || stat.uid !== user.uid))
    for (const name of fs.readdirSync(path)) give(fs, `${path}/${name}`, user, depth + 1);
  fs.lchownSync(path, user.uid, user.gid);
}
