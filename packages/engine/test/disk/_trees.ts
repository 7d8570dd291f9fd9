import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { placeBelow } from "../../src/disk/image.ts";
import { createTrees } from "../../src/disk/trees.ts";
import type { DiskKeeper, DiskKind, DiskLimit } from "../../src/disk/types.ts";

export const mib = 2 ** 20;
export const small: DiskLimit = { bytes: 64 * mib, inodes: 4_096 };

/** Why images cannot be tried here; undefined when they can. */
export function noImages(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync("/dev/loop-control")) return "needs loop devices";
  return undefined;
}

export function printNoImages(): boolean {
  const reason = noImages();
  if (reason !== undefined) console.warn(`skipped: ${reason}`);
  return reason !== undefined;
}

export interface Scratch extends Disposable {
  dir: string;
  warnings: string[];
  trees(kind?: DiskKind, convertUpTo?: DiskLimit): DiskKeeper;
}

/** A directory of its own, gone at the end, and trees in it. */
export function scratch(): Scratch {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-disk-"));
  const warnings: string[] = [];
  const all = { bytes: 2 ** 40, inodes: 2 ** 30 };
  return {
    dir,
    warnings,
    trees: (kind = "image", convertUpTo = all) =>
      createTrees({ kind, place: placeBelow(dir), convertUpTo, warn: (message) => warnings.push(message) }),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** Loop devices that are bound to a file whose path begins with `prefix`. */
export function loopsOf(prefix: string): string[] {
  return readdirSync("/sys/block").flatMap((name) => {
    if (!name.startsWith("loop")) return [];
    try {
      const file = readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trim();
      return file.startsWith(prefix) ? [`${name} ${file}`] : [];
    } catch {
      // Not bound.
      return [];
    }
  });
}

/** Every entry below `root`: type, mode, ids, size, links, time, target, attributes, content. */
export function manifest(root: string): string {
  const script = `
    cd "$1" && find . -mindepth 1 -printf '%P %y %m %U:%G %n %T@ %l\\n' | sort
    find . -type f -print0 | sort -z | xargs -0 -r sha256sum
    stat -c '%a %u:%g %Y' .`;
  return execFileSync("bash", ["-c", script, "bash", root], { encoding: "utf8" });
}
