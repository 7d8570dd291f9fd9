import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What a run could leave behind on the machine, as sorted lines. */
export interface Leftovers {
  mounts: string[];
  namespaces: string[];
  links: string[];
  cgroups: string[];
  processes: string[];
  sockets: string[];
}

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

/**
 * What there is of one installation: by its data directory, and by its engine's instance name, which is part of the
 * names of namespaces, links and cgroups.
 */
export function leftovers(dataDir: string, instance: string): Leftovers {
  const ours = (line: string) => line.includes(dataDir) || (instance !== "" && line.includes(instance));
  return {
    mounts: lines(readFileSync("/proc/self/mounts", "utf8")).filter(ours),
    namespaces: networkNamespaces().filter(ours),
    links: lines(execFileSync("ip", ["-brief", "link"], { encoding: "utf8" })).filter(ours),
    cgroups: controlGroups().filter(ours),
    processes: processesOf(dataDir),
    sockets: lines(readFileSync("/proc/net/unix", "utf8")).filter(ours),
  };
}

/** Names of all network namespaces that have one. */
export function networkNamespaces(): string[] {
  return existsSync("/run/netns") ? readdirSync("/run/netns") : [];
}

/** Directories of all control groups, parents before children, to the depth that the engine uses. */
export function controlGroups(dir = "/sys/fs/cgroup", depth = 4): string[] {
  if (depth === 0 || !existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => [join(dir, entry.name), ...controlGroups(join(dir, entry.name), depth - 1)]);
}

/** Command lines of processes that have `text` in their command line or environment, after their process ids. */
export function processesOf(text: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        const around = readFileSync(`/proc/${pid}/environ`, "utf8");
        return command.includes(text) || around.includes(text) ? [`${pid} ${command}`] : [];
      } catch {
        // It ended while we looked.
        return [];
      }
    });
}

/** The engine's name for itself, as long as its keeper runs. */
export function instanceOf(dataDir: string): string | undefined {
  return instancesIn(processesOf(dataDir))[0];
}

/** The names of engines whose keepers are among these processes. */
export function instancesIn(commands: readonly string[]): string[] {
  return [...commands.join("\n").matchAll(/"instance":"([\w-]+)"/g)].map((match) => match[1] ?? "");
}
