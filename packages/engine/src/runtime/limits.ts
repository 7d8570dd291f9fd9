import { readFileSync } from "node:fs";
import type { CgroupMode } from "../keeper/cgroup.ts";
import type { SandboxLimits } from "./types.ts";

/** Which limits this machine's cgroup controllers can hold. */
export interface PossibleLimits {
  memory: boolean;
  cpu: boolean;
  pids: boolean;
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

function controllers(mode: CgroupMode): string[] {
  if (mode === "none") return [];
  if (mode === "v2") return readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").trim().split(" ");
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return mounts.filter((line) => line.includes(" cgroup ")).flatMap((line) => line.split(" ")[3]?.split(",") ?? []);
}
