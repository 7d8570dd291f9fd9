import { readdirSync, readFileSync, statSync } from "node:fs";
import { uptime } from "node:os";
import { errnoOf } from "../failure.ts";

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** The device number of its terminal; 0: it has none. */
  readonly tty: number;
  /** Clock ticks since boot: together with the pid it names a process for ever. */
  readonly startTime: string;
  readonly name: string;
  readonly isZombie: boolean;
}

/** Every process of this PID namespace. */
export function readProcessTable(): ProcessEntry[] {
  const table: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const entry = readProcess(Number(name));
    if (entry !== undefined) table.push(entry);
  }
  return table;
}

/** Undefined when there is no such process. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readProcFile(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The name is in parentheses and may hold any character.
  const end = stat.lastIndexOf(")");
  const fields = stat.slice(end + 2).split(" ");
  return {
    pid,
    name: stat.slice(stat.indexOf("(") + 1, end),
    isZombie: fields[0] === "Z" || fields[0] === "X",
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    tty: Number(fields[4]),
    startTime: fields[19] ?? "",
  };
}

/** Set in the environment of each child. By it what it leaves behind is found where it has no group of its own. */
export const markerName = "HOLDFAST_PROCESS";

/** What is common to all that a process has started. */
export interface Mark {
  readonly processId: string;
  /** A supplementary group, which nothing below the process can drop; null: only the environment tells. */
  readonly gid: number | null;
}

/** Whether any process has this group. */
export function isGroupInUse(gid: number): boolean {
  return readProcessTable().some(({ pid }) => hasGroup(pid, gid));
}

function hasGroup(pid: number, gid: number): boolean {
  const list = /^Groups:(.*)$/m.exec(readProcFile(`/proc/${pid}/status`) ?? "")?.[1] ?? "";
  return list.trim().split(/\s+/).includes(String(gid));
}

function hasMarker(pid: number, { processId, gid }: Mark): boolean {
  if (gid !== null) return hasGroup(pid, gid);
  const environment = asOwner(pid, () => readProcFile(`/proc/${pid}/environ`));
  return environment?.split("\u0000").includes(`${markerName}=${processId}`) ?? false;
}

/**
 * A sandbox's root may not look into others' processes (it lacks CAP_SYS_PTRACE), but every user into his own. Nothing
 * else of this program runs in between: `work` is synchronous.
 */
function asOwner<T>(pid: number, work: () => T): T | undefined {
  const owner = ownerOf(pid);
  if (owner === undefined) return undefined;
  if (owner.uid === process.geteuid?.()) return work();
  try {
    process.setegid?.(owner.gid);
    process.seteuid?.(owner.uid);
    return work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

function ownerOf(pid: number): { uid: number; gid: number } | undefined {
  try {
    return statSync(`/proc/${pid}`);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

function readProcFile(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    // Gone in the meantime, or another user's where root may not look: then it is not ours to judge.
    if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

/**
 * Everything that belongs to the process `leader` with this mark: its descendants, its process group and session, and
 * what left all of these but has the mark. `lostLeader`: one that may be gone. The kernel
 * gives nobody the number of a session that has members, so they are its own; the CLI shows its environment to nobody.
 */
export function findMembers(leader: number | undefined, mark: Mark, lostLeader = 0): ProcessEntry[] {
  const all = readProcessTable();
  const table = all.filter((entry) => !entry.isZombie && entry.pid !== process.pid);
  const lost = lostLeader > 0 && !all.some(({ pid }) => pid === lostLeader) ? lostLeader : undefined;
  const members = new Set<ProcessEntry>();
  for (const entry of table) {
    const isRelated =
      (leader !== undefined && (entry.pid === leader || entry.group === leader || entry.session === leader)) ||
      (lost !== undefined && entry.session === lost);
    if (isRelated || hasMarker(entry.pid, mark)) members.add(entry);
  }
  addDescendants(members, table);
  return [...members];
}

function addDescendants(members: Set<ProcessEntry>, table: readonly ProcessEntry[]): void {
  for (let before = -1; before !== members.size; ) {
    before = members.size;
    const pids = new Set([...members].map((entry) => entry.pid));
    for (const entry of table) if (pids.has(entry.parent)) members.add(entry);
  }
}

/**
 * Members of the process that are no longer below `leader` and started at `since` or later, in clock ticks since boot.
 * What an older one of these has started belongs to that one, and stays.
 */
function findOrphans(leader: number | undefined, mark: Mark, since: number): ProcessEntry[] {
  const members = findMembers(leader, mark);
  const kept = new Set(members.filter(({ pid, startTime }) => pid === leader || Number(startTime) < since));
  addDescendants(kept, members);
  return members.filter((entry) => !kept.has(entry));
}

/** Kills them until no new one appears. Gives how many. */
export function endOrphans(leader: number | undefined, mark: Mark, since: number): number {
  const ended = new Set<number>();
  for (let round = 0; round < killRounds; round++) {
    const sent = findOrphans(leader, mark, since).filter(({ pid }) => sendSignal(pid, "SIGKILL"));
    for (const { pid } of sent) ended.add(pid);
    if (sent.length === 0) break;
  }
  return ended.size;
}

/** Now, as `startTime` counts it. Linux tells programs ticks of a hundredth of a second, whatever the kernel uses. */
export function ticksNow(): number {
  return Math.floor(uptime() * 100);
}

/** The process that a signal to `leader` is meant for: `runuser` stays behind as a parent and passes nothing on. */
export function signalTarget(leader: number): number {
  const entry = readProcess(leader);
  if (entry === undefined || (entry.name !== "runuser" && entry.name !== "su")) return leader;
  const children = readProcessTable().filter((child) => child.parent === leader && !child.isZombie);
  const [only] = children;
  return children.length === 1 && only !== undefined ? only.pid : leader;
}

/** False when it was gone already. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ESRCH") return false;
    throw error;
  }
}

const killRounds = 10;

/** Signals all members; with SIGKILL again until no new one appears. Gives how many were signalled. */
export function signalMembers(leader: number | undefined, mark: Mark, signal: NodeJS.Signals, lostLeader = 0): number {
  let signalled = 0;
  const rounds = signal === "SIGKILL" ? killRounds : 1;
  for (let round = 0; round < rounds; round++) {
    const sent = findMembers(leader, mark, lostLeader).filter((entry) => sendSignal(entry.pid, signal)).length;
    signalled += sent;
    if (sent === 0) break;
  }
  return signalled;
}
