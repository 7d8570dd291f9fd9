import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { MS_NODEV, MS_NOSUID, mount, unmountDetach } from "./syscalls.ts";

const ROOT = "/sys/fs/cgroup";
const CGROUP2_MAGIC = 0x63677270;
const REMOVE_ATTEMPTS = 50;
const REMOVE_PAUSE_MS = 10;

export type CgroupMode = "v2" | "v1" | "none";

export function cgroupMode(): CgroupMode {
  if (!existsSync(ROOT)) return "none";
  if (statfsSync(ROOT).type === CGROUP2_MAGIC) return "v2";
  return hierarchies().length > 0 ? "v1" : "none";
}

/** Directories that hold a cgroup tree: one on v2, one per controller on v1. */
function hierarchies(): string[] {
  if (existsSync(ROOT) && statfsSync(ROOT).type === CGROUP2_MAGIC) return [ROOT];
  try {
    return readdirSync(ROOT)
      .map((name) => join(ROOT, name))
      .filter((dir) => existsSync(join(dir, "cgroup.procs")));
  } catch {
    // No cgroup file system at all.
    return [];
  }
}

/**
 * crun 1.8 refuses "hybrid" machines, where a v2 tree with controllers hangs below v1. In our private mount namespace
 * the v2 tree is taken away; an empty tmpfs in its place swallows what the runtime would write there.
 */
export function hideHybridTree(): void {
  const unified = join(ROOT, "unified");
  if (cgroupMode() !== "v1" || !existsSync(unified) || statfsSync(unified).type !== CGROUP2_MAGIC) return;
  unmountDetach(unified);
  mount({ source: "tmpfs", target: unified, type: "tmpfs", flags: MS_NOSUID | MS_NODEV, data: "size=1m" });
}

/** Whether we may make cgroups here; in many containers the tree is read-only. */
export function cgroupsWritable(parent: string): boolean {
  const trees = hierarchies();
  try {
    for (const tree of trees) mkdirSync(join(tree, parent), { recursive: true });
    return trees.length > 0;
  } catch {
    // EROFS or EACCES: limits are impossible, which the probe reports.
    return false;
  }
}

/** Whether the kernel killed a process of this cgroup for memory. */
export function sawOom(cgroup: string): boolean {
  for (const file of ["memory/{}/memory.oom_control", "{}/memory.events"]) {
    try {
      const text = readFileSync(join(ROOT, file.replace("{}", cgroup)), "utf8");
      if (/^oom_kill [1-9]/m.test(text)) return true;
    } catch {
      // This machine has the other version, or no memory controller: nothing can be said.
    }
  }
  return false;
}

/** Kills what is left in a sandbox's cgroup and removes it from every hierarchy. Returns what could not be removed. */
export async function removeCgroup(cgroup: string): Promise<string[]> {
  let left = directoriesOf(cgroup);
  for (let attempt = 0; left.length > 0 && attempt < REMOVE_ATTEMPTS; attempt++) {
    for (const dir of left) removeTree(dir);
    left = left.filter((dir) => existsSync(dir));
    if (left.length > 0) await delay(REMOVE_PAUSE_MS);
  }
  return left;
}

function directoriesOf(cgroup: string): string[] {
  return hierarchies()
    .map((tree) => join(tree, cgroup))
    .filter((dir) => existsSync(dir));
}

function removeTree(dir: string): void {
  try {
    for (const pid of readFileSync(join(dir, "cgroup.procs"), "utf8").split("\n")) {
      if (Number(pid) > 0) process.kill(Number(pid), "SIGKILL");
    }
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(join(dir, entry.name));
    }
    rmdirSync(dir);
  } catch {
    // ESRCH, EBUSY or ENOENT while processes end: the caller looks again.
  }
}
