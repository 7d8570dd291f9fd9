import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { credentials, imageCacheDir } from "./_engine.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface EngineProcess {
  child: ChildProcess;
  url: string;
}

/** An engine in a process of its own, as the supervisor starts it. */
export async function spawnEngine(
  dataDir: string,
  more: object = {},
  stderr: "inherit" | number = "inherit",
): Promise<EngineProcess> {
  const optionsFile = join(dataDir, "options.json");
  writeFileSync(optionsFile, JSON.stringify({ dataDir, imageCacheDir, ...credentials, logLevel: "silent", ...more }), {
    mode: 0o600,
  });
  const child = spawn(process.execPath, [main], {
    env: { ...process.env, HOLDFAST_OPTIONS_FILE: optionsFile },
    stdio: ["ignore", "pipe", stderr],
  });
  if (child.stdout === null) throw new Error("the engine has no stdout");
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const answer = JSON.parse(line) as { ready: boolean; url: string; error?: { why: string } };
  if (!answer.ready) throw new Error(answer.error?.why);
  return { child, url: answer.url };
}

export async function stopEngine(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, "exit") as Promise<[number | null]>;
  child.kill(signal);
  return (await exited)[0];
}

/** Processes that have `text` in their command line: pid and command. */
export function processesWith(text: string): { pid: number; command: string }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        return command.includes(text) ? [{ pid: Number(pid), command }] : [];
      } catch {
        // It ended while we looked.
        return [];
      }
    });
}

/** The name that is part of the engine's namespaces, links and cgroups: its keeper was started with it. */
export function instanceOf(dataDir: string): string {
  const keeper = processesWith(dataDir).find(({ command }) => command.includes("keeper/main.ts"));
  return /"instance":"(\w+)"/.exec(keeper?.command ?? "")?.[1] ?? "";
}

const listed = (dir: string) => (existsSync(dir) ? readdirSync(dir) : []);

export interface Held {
  /** One per living sandbox or build step. */
  cgroups: string[];
  namespaces: string[];
  /** In the host's mount namespace. */
  mounts: string[];
  /** The keeper's directories of sandboxes. */
  directories: string[];
  /** Processes of sandboxes, by their ids' range. */
  processes: number[];
  volumes: string[];
}

/** What an engine holds of the machine. `idBase`: where its sandboxes' ids begin. */
export function held(dataDir: string, instance: string): Held {
  const trees = listed("/sys/fs/cgroup").includes("cgroup.procs")
    ? ["/sys/fs/cgroup"]
    : listed("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}`);
  // Each lies in its account's; an engine of an earlier release put it right below that of all.
  const groups = trees
    .map((tree) => `${tree}/holdfast-${instance}`)
    .flatMap((dir) => [dir, ...listed(dir).flatMap((name) => (/^account-\d+$/.test(name) ? [join(dir, name)] : []))]);
  const sandboxes = groups.flatMap((dir) =>
    listed(dir).flatMap((name) => (/^(sb|bld)-/.test(name) ? [join(dir, name)] : [])),
  );
  return {
    cgroups: [...new Set(sandboxes.map((dir) => basename(dir)))],
    namespaces: listed("/run/netns").filter((name) => name.startsWith(`hf-${instance}`)),
    mounts: readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(dataDir)),
    directories: listed(join(dataDir, "runtime", "sandboxes")),
    processes: processesIn(sandboxes),
    volumes: listed(join(dataDir, "volumes")),
  };
}

function processesIn(cgroups: string[]): number[] {
  const pids = cgroups.flatMap((dir) => {
    try {
      return readFileSync(join(dir, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
    } catch {
      // Gone, or another hierarchy's.
      return [];
    }
  });
  return [...new Set(pids)];
}
