import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { isNoRoom } from "../disk-reserve.ts";
import { type CgroupMode, cgroupMode } from "../keeper/cgroup.ts";
import { RUNTIME_ENV } from "../keeper/oci-command.ts";
import type { IsolationProblem } from "./isolation-problem.ts";
import { counterProblems } from "./kernel-counters.ts";
import { type PossibleLimits, possibleLimits } from "./limits.ts";
import { type FoundRuntime, findRuntime, type OciRuntimeName } from "./oci-runtime-choice.ts";

export interface IsolationReport {
  /** True when sandboxes can run. */
  usable: boolean;
  root: boolean;
  kernel: string;
  userNamespaces: boolean;
  /** Whether each account has kernel counters of its own (inotify, message queues, timers, signals, processes). */
  ownCounters: boolean;
  /** Idmapped bind mounts on the file system of `directory`. */
  idmappedMounts: boolean;
  /** overlayfs on idmapped layers. */
  overlay: boolean;
  cgroup: CgroupMode;
  /** Whether memory, CPU and process limits can be set. */
  limits: PossibleLimits;
  seccomp: boolean;
  runtime: FoundRuntime | undefined;
  problems: IsolationProblem[];
}

const run = promisify(execFile);
const PROBE_TIMEOUT_MS = 10_000;

/**
 * What this machine can do to keep sandboxes apart. Tries the real system calls in a mount namespace of a child, so
 * that nothing is left; takes about 150 ms. `directory` is where the engine's data will lie.
 */
export async function probeIsolation(
  options: { directory?: string; ociRuntime?: OciRuntimeName } = {},
): Promise<IsolationReport> {
  const problems: IsolationProblem[] = [];
  const root = process.getuid?.() === 0;
  if (!root) {
    problems.push({
      what: "The engine needs root.",
      why: "It makes mounts, cgroups and network namespaces for the sandboxes.",
      todo: "Start it with sudo.",
      fatal: true,
    });
  }
  const runtime = await findRuntime(options.ociRuntime ?? "auto").catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    problems.push({ what: "No OCI runtime.", why, todo: "apt-get install crun", fatal: true });
    return undefined;
  });
  const mounts = root ? await probeMounts(options.directory ?? tmpdir()) : NOTHING;
  if (root) problems.push(...mountProblems(mounts));
  const ownCounters = mounts.ownCounters && runtime?.kind === "crun";
  if (root && mounts.userNamespaces) problems.push(...counterProblems({ ownCounters, runtime: runtime?.kind }));
  const cgroup = cgroupMode();
  const limits = possibleLimits(cgroup);
  problems.push(...dumpProblems());
  const missing = Object.entries(limits).filter(([, there]) => !there);
  if (missing.length > 0) {
    problems.push({
      what: `No ${missing.map(([name]) => name).join(", ")} limits for sandboxes.`,
      why: `The cgroup controllers are missing (cgroup ${cgroup}).`,
      todo: "Run on a machine or in a container with a writable cgroup tree; sandboxes run without these limits otherwise.",
      fatal: false,
    });
  }
  return {
    usable: !problems.some(({ fatal }) => fatal),
    root,
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    ...mounts,
    ownCounters,
    cgroup,
    limits,
    seccomp: readFileSync("/proc/self/status", "utf8").includes("\nSeccomp:"),
    runtime,
    problems,
  };
}

export interface MountProbe {
  userNamespaces: boolean;
  /** Whether an unprivileged user may make user namespaces, which is what an account's are made as. */
  ownCounters: boolean;
  idmappedMounts: boolean;
  overlay: boolean;
  /** The kernel's answer to the first thing that failed. */
  detail: string;
}

const NOTHING: MountProbe = {
  userNamespaces: false,
  ownCounters: false,
  idmappedMounts: false,
  overlay: false,
  detail: "not tried",
};

async function probeMounts(directory: string): Promise<MountProbe> {
  let scratch: string;
  try {
    scratch = mkdtempSync(join(directory, ".holdfast-probe-"));
  } catch (error) {
    if (!isNoRoom(error)) throw error;
    // Nothing can be tried there now, and what is there has to be looked after: taken for good until it shows.
    return { ...NOTHING, userNamespaces: true, idmappedMounts: true, overlay: true, detail: "the disk is full" };
  }
  try {
    const child = join(import.meta.dirname, "..", "keeper", "probe-mounts.ts");
    const args = ["--mount", "--propagation", "private", "--", process.execPath, child, scratch];
    const { stdout } = await run("unshare", args, { env: RUNTIME_ENV, timeout: PROBE_TIMEOUT_MS });
    return JSON.parse(stdout) as MountProbe;
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { ...NOTHING, detail: `a mount namespace could not be made: ${detail}` };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Core dumps of programs that their user cannot read would make them readable again. */
function dumpProblems(): IsolationProblem[] {
  if (readFileSync("/proc/sys/fs/suid_dumpable", "utf8").trim() !== "1") return [];
  return [
    {
      what: "A sandbox's user can reach into Claude Code.",
      why: "fs.suid_dumpable is 1: programs that their user cannot read are open to it all the same.",
      todo: "sysctl fs.suid_dumpable=0",
      fatal: false,
    },
  ];
}

function mountProblems(probe: MountProbe): IsolationProblem[] {
  if (!probe.userNamespaces) {
    return [
      {
        what: "No user namespaces.",
        why: `Root inside a sandbox would be root of this machine (${probe.detail}).`,
        todo: "Allow them: user.max_user_namespaces above 0; in a container, run it privileged.",
        fatal: true,
      },
    ];
  }
  if (!probe.idmappedMounts || !probe.overlay) {
    return [
      {
        what: "No overlay root on idmapped mounts.",
        why: `The kernel or the file system refused (${probe.detail}). Linux 5.19 and ext4, xfs or btrfs have it.`,
        todo: "Update the kernel, or put the data directory on ext4, xfs or btrfs.",
        fatal: true,
      },
    ];
  }
  return [];
}
