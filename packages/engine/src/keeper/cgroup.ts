import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { anonymousBytes, showsOomKill } from "./memory-files.ts";
import { MS_BIND, MS_MOVE, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC, mount } from "./syscalls.ts";

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
  } catch (error) {
    // No cgroup file system at all; anything else must not be taken for that.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/**
 * crun 1.8 refuses "hybrid" machines, where a v2 tree with controllers hangs below v1. In our private mount namespace
 * the root is put together anew from the v1 controllers alone, so that nothing is looked for or written below
 * `unified`. `scratch` is an empty directory in a mount of our own.
 */
export function leaveOutUnified(scratch: string): void {
  if (cgroupMode() !== "v1" || !existsSync(join(ROOT, "unified"))) return;
  const entries = readdirSync(ROOT, { withFileTypes: true }).filter(({ name }) => name !== "unified");
  mount({
    source: "holdfast-cgroup",
    target: scratch,
    type: "tmpfs",
    flags: MS_NOSUID | MS_NODEV | MS_NOEXEC,
    data: "mode=755,size=64k",
  });
  for (const entry of entries) {
    const target = join(scratch, entry.name);
    // `cpu -> cpu,cpuacct`: a runtime takes either name.
    if (entry.isSymbolicLink()) symlinkSync(readlinkSync(join(ROOT, entry.name)), target);
    if (!entry.isDirectory()) continue;
    mkdirSync(target, { mode: 0o755 });
    mount({ source: join(ROOT, entry.name), target, type: "", flags: MS_BIND | MS_REC, data: "" });
  }
  mount({ source: scratch, target: ROOT, type: "", flags: MS_MOVE, data: "" });
}

/** The names of the cgroups right below `parent`, in any hierarchy. */
export function cgroupsBelow(parent: string): string[] {
  const names = directoriesOf(parent).flatMap((dir) =>
    readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name),
  );
  return [...new Set(names)];
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
      if (showsOomKill(text)) return true;
    } catch {
      // This machine has the other version, or no memory controller: nothing can be said.
    }
  }
  return false;
}

/** See `anonymousBytes`; 0 where nothing can be said. */
export function anonymousMemory(cgroup: string): number {
  for (const file of [`memory/${cgroup}/memory.stat`, `${cgroup}/memory.stat`]) {
    try {
      return anonymousBytes(readFileSync(join(ROOT, file), "utf8"));
    } catch {
      // The other version of cgroups, or none; or it has just gone.
    }
  }
  return 0;
}

/**
 * Kills what is left in a sandbox's cgroup and removes it from every hierarchy; throws when some of it stays. True when
 * nothing that was in it can run any more; false where this machine has no cgroups.
 */
export async function removeCgroup(cgroup: string): Promise<boolean> {
  let left = directoriesOf(cgroup);
  for (let attempt = 0; left.length > 0 && attempt < REMOVE_ATTEMPTS; attempt++) {
    for (const dir of left) removeTree(dir);
    left = left.filter((dir) => existsSync(dir));
    if (left.length > 0) await delay(REMOVE_PAUSE_MS);
  }
  if (left.length > 0) throw new Error(`${left.join(", ")} cannot be removed: something in it does not end.`);
  return hierarchies().length > 0;
}

export function cgroupExists(cgroup: string): boolean {
  return directoriesOf(cgroup).length > 0;
}

/** From every hierarchy; throws when something is in it. One that is not there is removed. */
export function removeEmptyCgroup(cgroup: string): void {
  for (const dir of directoriesOf(cgroup)) rmdirSync(dir);
}

function directoriesOf(cgroup: string): string[] {
  return hierarchies()
    .map((tree) => join(tree, cgroup))
    .filter((dir) => existsSync(dir));
}

function removeTree(dir: string): void {
  try {
    for (const pid of readFileSync(join(dir, "cgroup.procs"), "utf8").split("\n")) {
      if (Number(pid) > 0) kill(Number(pid));
    }
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(join(dir, entry.name));
    }
    rmdirSync(dir);
  } catch {
    // EBUSY or ENOENT while processes end: the caller looks again.
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself between the two looks.
  }
}
