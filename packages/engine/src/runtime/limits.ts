import { existsSync, readFileSync } from "node:fs";
import type { CgroupMode } from "../keeper/cgroup.ts";
import type { SandboxLimits } from "./types.ts";

/** Which limits this machine's cgroup controllers can hold. */
export interface PossibleLimits {
  memory: boolean;
  cpu: boolean;
  pids: boolean;
}

const V1_SWAP_FILE = "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes";

/** Whether swap can be limited too; kernels on v1 may have been started without counting it. */
export function canLimitSwap(mode: CgroupMode): boolean {
  return mode === "v2" || (mode === "v1" && existsSync(V1_SWAP_FILE));
}

export function possibleLimits(mode: CgroupMode): PossibleLimits {
  const names = new Set(controllers(mode));
  return { memory: names.has("memory"), cpu: names.has("cpu"), pids: names.has("pids") };
}

/** The limits that can be held; a runtime refuses to start with one that cannot. */
export function withoutImpossible(limits: SandboxLimits, possible: PossibleLimits): SandboxLimits {
  const { memoryBytes, milliCpu, pids } = limits;
  return {
    ...(possible.memory && memoryBytes !== undefined ? { memoryBytes } : {}),
    ...(possible.cpu && milliCpu !== undefined ? { milliCpu } : {}),
    ...(possible.pids && pids !== undefined ? { pids } : {}),
  };
}

const CAP_SYS_RESOURCE = 24n;

/**
 * Whether a runtime can set device rules. On cgroup v2 they are a BPF program, for which runtimes raise RLIMIT_MEMLOCK
 * and fail without CAP_SYS_RESOURCE (in containers). `statusFile` is `/proc/<pid>/status` of the process that starts them.
 */
export function canSetDeviceRules(mode: CgroupMode, statusFile: string): boolean {
  if (mode !== "v2") return mode === "v1";
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(statusFile)?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

function controllers(mode: CgroupMode): string[] {
  if (mode === "none") return [];
  if (mode === "v2") return readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").trim().split(" ");
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return mounts.filter((line) => line.includes(" cgroup ")).flatMap((line) => line.split(" ")[3]?.split(",") ?? []);
}
