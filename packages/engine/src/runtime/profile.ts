import { readFileSync } from "node:fs";

/** What a root process inside may do within its own user namespace; for other users nothing is effective. */
export const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_AUDIT_WRITE",
] as const;

export const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/dev/block",
];

export const READONLY_PATHS = [
  "/proc/asound",
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

export interface Rlimit {
  type: string;
  soft: number;
  hard: number;
}

const WANTED_OPEN_FILES = 1_048_576;
const WANTED_SOFT_OPEN_FILES = 65_536;

/**
 * Limits for processes inside. Runtimes fail when asked for more than the caller's hard limit, so `limitsFile`
 * (`/proc/<pid>/limits` of the process that starts them) caps what is wanted.
 */
export function rlimitsFrom(limitsFile: string): Rlimit[] {
  const hard = hardLimit(limitsFile, "Max open files");
  const cap = Math.min(WANTED_OPEN_FILES, hard);
  return [
    { type: "RLIMIT_NOFILE", soft: Math.min(WANTED_SOFT_OPEN_FILES, cap), hard: cap },
    { type: "RLIMIT_CORE", soft: 0, hard: 0 },
  ];
}

export function readLimits(pid: number): string {
  return readFileSync(`/proc/${pid}/limits`, "utf8");
}

function hardLimit(limitsFile: string, name: string): number {
  const line = limitsFile.split("\n").find((candidate) => candidate.startsWith(name));
  const value = line?.slice(name.length).trim().split(/\s+/)[1];
  if (value === undefined || value === "unlimited") return Number.POSITIVE_INFINITY;
  return Number(value);
}
