import { chmodSync, lchownSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { rangeSize } from "../state/id-ranges.ts";

/**
 * Makes sure that a layer has plain ids. Through an idmapped mount it has them already, but for what overlayfs makes for
 * itself (disk id 65 536, see the runtime's id maps); where layers are written with shifted ids, host ids from `base` on
 * become 0, 1, … . Nobody else may write the tree meanwhile. Never follows a link. Safe to repeat.
 */
export async function unshiftIds(directory: string, base: number): Promise<void> {
  const plain = (id: number) => (id === rangeSize ? 0 : id >= base && id < base + rangeSize ? id - base : id);
  const visit = (path: string): boolean => {
    const stat = lstatSync(path);
    const uid = plain(stat.uid);
    const gid = plain(stat.gid);
    if (uid !== stat.uid || gid !== stat.gid) {
      lchownSync(path, uid, gid);
      // The kernel clears setuid and setgid when the owner changes.
      if (stat.isFile() && (stat.mode & 0o6000) !== 0) chmodSync(path, stat.mode & 0o7777);
    }
    return stat.isDirectory();
  };
  if (!visit(directory)) return;
  const pending = [directory];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const name of readdirSync(next)) {
      const path = join(next, name);
      if (visit(path)) pending.push(path);
    }
    // Lets the engine answer others between directories.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
