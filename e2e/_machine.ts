import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

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
    namespaces: existsSync("/run/netns") ? readdirSync("/run/netns").filter(ours) : [],
    links: lines(execFileSync("ip", ["-brief", "link"], { encoding: "utf8" })).filter(ours),
    cgroups: cgroups("/sys/fs/cgroup", 3).filter(ours),
    processes: processesOf(dataDir),
    sockets: lines(readFileSync("/proc/net/unix", "utf8")).filter(ours),
  };
}

function cgroups(dir: string, depth: number): string[] {
  if (depth === 0 || !existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => [join(dir, entry.name), ...cgroups(join(dir, entry.name), depth - 1)]);
}

/** Command lines of processes that have `text` in their command line, environment or working directory. */
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

export const cliMain = fileURLToPath(new URL("../packages/cli/src/main.ts", import.meta.url));

export interface CliRun {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command to its end. */
export function holdfast(args: string[], env: Record<string, string> = {}): Promise<CliRun> {
  return runProgram(process.execPath, [cliMain, ...args], env);
}

/** Runs a program to its end, a minute at the most. */
export function runProgram(file: string, args: string[], env: Record<string, string> = {}): Promise<CliRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env: { ...process.env, ...env }, timeout: 60_000 });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Whether a path exists and is only its owner's. */
export function isPrivate(path: string): boolean {
  return (statSync(path).mode & 0o077) === 0;
}
