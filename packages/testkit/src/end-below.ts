import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, rmdirSync } from "node:fs";
import { sleep } from "@holdfast/std";
import { controlGroups, instancesIn, networkNamespaces } from "./leftovers.ts";

const killMs = 30_000;

/** Helpers of the tools that run the tests; they end with the process that started them. */
const tools = /\/esbuild .*--service=/;

/**
 * Ends by force everything that has to do with a directory: processes that name it (command line, environment, working
 * directory, mounts of their own), the sandboxes of engines that keep their state in it, mounts below it, and those
 * engines' network namespaces and control groups. Where all went well there is nothing to do. What ends within
 * `graceMs` is let end by itself. Returns what was found after that, one line each.
 */
export async function endBelow(dir: string, { graceMs = 0 } = {}): Promise<string[]> {
  const instances = new Set<string>();
  const look = () => {
    const found = processesBelow(dir, instances);
    for (const name of instancesIn(found)) instances.add(name);
    return found;
  };
  for (const until = Date.now() + graceMs; look().length > 0 && Date.now() < until; ) await sleep(100);
  const processes = look();
  for (let signal = AbortSignal.timeout(killMs), rest = look(); rest.length > 0; rest = look()) {
    for (const line of rest) kill(Number(line.split(" ")[0]));
    await sleep(50, signal);
  }
  return [...processes, ...unmountBelow(dir), ...removeTraces(instances)];
}

/** `PID command line` of each. */
function processesBelow(dir: string, instances: ReadonlySet<string>): string[] {
  const own = readlinkSync("/proc/self/ns/mnt");
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      // Ended, and only not yet taken note of.
      if (command === "" || tools.test(command)) return [];
      const group = /\/holdfast-([\w-]+)\//.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1] ?? "";
      const inside = instances.has(group) || names(pid, dir, own);
      return inside || command.includes(dir) ? [`${pid} ${command.slice(0, 200)}`] : [];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
}

function names(pid: string, dir: string, ownMounts: string): boolean {
  if (readFileSync(`/proc/${pid}/environ`, "latin1").includes(dir)) return true;
  if (readlinkSync(`/proc/${pid}/cwd`).startsWith(dir)) return true;
  if (readlinkSync(`/proc/${pid}/ns/mnt`) === ownMounts) return false;
  return readFileSync(`/proc/${pid}/mountinfo`, "latin1").includes(dir);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Ended by itself, as it should.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function unmountBelow(dir: string): string[] {
  const points = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((point) => point === dir || point.startsWith(`${dir}/`));
  for (const point of points.toReversed()) execFileSync("umount", ["--lazy", point]);
  return points.map((point) => `mount ${point}`);
}

function removeTraces(instances: ReadonlySet<string>): string[] {
  const left: string[] = [];
  for (const instance of instances) {
    const namespaces = networkNamespaces().filter((name) => new RegExp(`^hft?-${instance}(-|$)`).test(name));
    for (const name of namespaces) execFileSync("ip", ["netns", "delete", name]);
    const groups = controlGroups().filter((path) => path.includes(`/holdfast-${instance}`));
    for (const path of groups.toReversed()) rmdirSync(path);
    left.push(...namespaces.map((name) => `namespace ${name}`), ...groups.map((path) => `control group ${path}`));
  }
  return left;
}
