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

/** Memory, keys and timers of the kernel; and what tells of the machine: how it was started, its disks, its traffic. */
export const MASKED_PATHS = [
  "/proc/cmdline",
  "/proc/config.gz",
  "/proc/diskstats",
  "/proc/interrupts",
  "/proc/key-users",
  "/proc/locks",
  "/proc/mdstat",
  "/proc/modules",
  "/proc/partitions",
  "/proc/swaps",
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

/** Per process, or per user inside: enough for what people run, and no more than the account's share. */
const WANTED: { type: string; name: string; soft: number; hard: number }[] = [
  { type: "RLIMIT_NOFILE", name: "Max open files", soft: 65_536, hard: 65_536 },
  { type: "RLIMIT_SIGPENDING", name: "Max pending signals", soft: 16_384, hard: 16_384 },
  { type: "RLIMIT_MSGQUEUE", name: "Max msgqueue size", soft: 819_200, hard: 819_200 },
  { type: "RLIMIT_MEMLOCK", name: "Max locked memory", soft: 8 * 1024 * 1024, hard: 8 * 1024 * 1024 },
  { type: "RLIMIT_CORE", name: "Max core file size", soft: 0, hard: 0 },
];

/**
 * Limits for processes inside. Runtimes fail when asked for more than the caller's hard limit, so `limitsFile`
 * (`/proc/<pid>/limits` of the process that starts them) caps what is wanted.
 */
export function rlimitsFrom(limitsFile: string): Rlimit[] {
  return WANTED.map(({ type, name, soft, hard }) => {
    const cap = hardLimit(limitsFile, name);
    return { type, soft: Math.min(soft, cap), hard: Math.min(hard, cap) };
  });
}

export function readLimits(pid: number): string {
  return readFileSync(`/proc/${pid}/limits`, "utf8");
}

/** A hard limit in a file like `/proc/self/limits`; infinite where it is not limited. */
export function hardLimit(limitsFile: string, name: string): number {
  const line = limitsFile.split("\n").find((candidate) => candidate.startsWith(name));
  const value = line?.slice(name.length).trim().split(/\s+/)[1];
  if (value === undefined || value === "unlimited") return Number.POSITIVE_INFINITY;
  return Number(value);
}
