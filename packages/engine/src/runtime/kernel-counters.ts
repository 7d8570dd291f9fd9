import { readFileSync } from "node:fs";
import type { IsolationProblem } from "./isolation-problem.ts";

/** What the machine as a whole must have enough of for many accounts, and how much that is. */
const WANTED_ON_MACHINE = [
  {
    path: "kernel/pid_max",
    least: 65_536,
    advise: 4_194_304,
    counts: "processes and threads of all sandboxes together",
  },
  { path: "fs/inotify/max_user_instances", least: 1_024, advise: 1_024, counts: "file watchers of one account" },
  { path: "fs/file-max", least: 1_048_576, advise: 2_097_152, counts: "open files of all sandboxes together" },
];

/** What the kernel counts without cgroups: whether per account, and whether the machine has enough for several. */
export function counterProblems(
  found: { ownCounters: boolean; runtime: "crun" | "runc" | undefined },
  read: (path: string) => number = readSysctl,
): IsolationProblem[] {
  const problems: IsolationProblem[] = [];
  if (!found.ownCounters) {
    const runc = found.runtime === "runc";
    problems.push({
      what: "Kernel counters are shared by all accounts.",
      why: `inotify instances, message queues, timers, queued signals and processes count at the user that makes a sandbox's user namespace, ${
        runc ? "and runc makes it as root" : "and this kernel lets only root make one"
      }: one account can take them all, from root as well.`,
      todo: runc
        ? "apt-get install crun"
        : "sysctl kernel.unprivileged_userns_clone=1, and where AppArmor restricts it kernel.apparmor_restrict_unprivileged_userns=0.",
      fatal: false,
    });
  }
  for (const { path, least, advise, counts } of WANTED_ON_MACHINE) {
    const value = read(path);
    if (Number.isNaN(value) || value >= least) continue;
    const name = path.replaceAll("/", ".");
    problems.push({
      what: `${name} is ${value}.`,
      why: `It bounds the ${counts}; with many in use, new ones are refused.`,
      todo: `sysctl ${name}=${advise}`,
      fatal: false,
    });
  }
  return problems;
}

function readSysctl(path: string): number {
  try {
    return Number(readFileSync(`/proc/sys/${path}`, "utf8"));
  } catch {
    // This kernel has no such bound.
    return Number.NaN;
  }
}
