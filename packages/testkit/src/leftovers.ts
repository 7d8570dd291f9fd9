import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "@holdfast/std";

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
export function controlGroups(dir = "/sys/fs/cgroup", depth = 3): string[] {
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
  return /"instance":"(\w+)"/.exec(processesOf(dataDir).join("\n"))?.[1];
}

/**
 * Ends what is left of an installation by force: for a test that failed between the end of one program and the start of
 * the next. Where all went well there is nothing to do.
 */
export async function endInstallation(dataDir: string): Promise<void> {
  const instance = instanceOf(dataDir);
  const signal = AbortSignal.timeout(30_000);
  for (;;) {
    const found = [...new Set([...idsOf(dataDir), ...(instance === undefined ? [] : grouped(instance))])];
    if (found.length === 0) break;
    for (const pid of found) kill(pid);
    await sleep(50, signal);
  }
  const mounts = leftovers(dataDir, "").mounts.map((line) => line.split(" ")[1] ?? "");
  for (const mount of mounts.toReversed()) execFileSync("umount", ["--lazy", mount]);
  if (instance === undefined) return;
  for (const name of networkNamespaces().filter((each) => new RegExp(`^hf-${instance}(-|$)`).test(each)))
    execFileSync("ip", ["netns", "delete", name]);
  for (const dir of controlGroups()
    .filter((each) => each.includes(`/holdfast-${instance}`))
    .toReversed())
    rmdirSync(dir);
}

const idsOf = (dataDir: string) => processesOf(dataDir).map((line) => Number(line.split(" ")[0]));

/** Processes in the sandboxes' control groups. */
function grouped(instance: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/holdfast-${instance}/`);
      } catch {
        // It ended while we looked.
        return false;
      }
    });
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Ended by itself, as it should.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
