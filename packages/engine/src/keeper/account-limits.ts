import { readFileSync } from "node:fs";
import { hardLimit } from "../runtime/profile.ts";

/**
 * What all sandboxes of one account may take together of kernel objects that no cgroup counts. The kernel binds them at
 * the account's user namespace: POSIX rlimits of the process that made it, and the namespace's own `user.*` settings.
 */
export interface AccountLimits {
  /** Queued signals and POSIX timers. */
  pendingSignals: number;
  messageQueueBytes: number;
  /** Processes and threads. */
  processes: number;
  inotifyInstances: number;
  inotifyWatches: number;
}

const WANTED: AccountLimits = {
  pendingSignals: 16_384,
  messageQueueBytes: 819_200,
  processes: 32_768,
  inotifyInstances: 1_024,
  inotifyWatches: 524_288,
};

/**
 * The limits for this machine: no account may have more than half of its process ids, and nothing more than what this
 * process itself may have, which small machines keep low: the kernel refuses to raise it.
 */
export function accountLimits(pidMax = readPidMax(), own = readFileSync("/proc/self/limits", "utf8")): AccountLimits {
  return {
    ...WANTED,
    pendingSignals: Math.min(WANTED.pendingSignals, hardLimit(own, "Max pending signals")),
    messageQueueBytes: Math.min(WANTED.messageQueueBytes, hardLimit(own, "Max msgqueue size")),
    processes: Math.min(WANTED.processes, Math.floor(pidMax / 2), hardLimit(own, "Max processes")),
  };
}

function readPidMax(): number {
  return Number(readFileSync("/proc/sys/kernel/pid_max", "utf8"));
}
