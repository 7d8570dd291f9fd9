import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { sleep } from "@holdfast/std";
import { becomeSubreaper, tryWait } from "../packages/engine/src/keeper/syscalls.ts";
import { controlGroups, networkNamespaces } from "../packages/testkit/src/leftovers.ts";

const reapEveryMs = 500;

/**
 * Sees what a stage of the tests leaves on the machine. Whatever its processes start and abandon becomes a child of
 * ours, so that nothing escapes the look at the end; what is new on the machine besides (mounts, network namespaces,
 * control groups) counts when no process uses it.
 */
export class StageTraces implements Disposable {
  readonly #before = machineTraces();
  readonly #own = new Set<number>();
  readonly #reaper: NodeJS.Timeout;
  readonly #graceMs: number;

  /** `graceMs`: how long what ends by itself may take. */
  constructor(graceMs = 15_000) {
    this.#graceMs = graceMs;
    if (process.getuid?.() === 0) becomeSubreaper();
    this.#reaper = setInterval(() => this.#reap(), reapEveryMs);
  }

  /** A child that we started ourselves: its end is not ours to take. */
  started(pid: number | undefined): void {
    if (pid !== undefined) this.#own.add(pid);
  }

  /** What is left, one line each; processes are ended. */
  async left(): Promise<string[]> {
    for (const until = Date.now() + this.#graceMs; descendants().length > 0 && Date.now() < until; ) {
      this.#reap();
      await sleep(100);
    }
    const processes = descendants();
    for (let rest = processes; rest.length > 0; rest = descendants()) {
      for (const { pid } of rest) end(pid);
      this.#reap();
      await sleep(50);
    }
    const traces = machineTraces().filter((trace) => !this.#before.includes(trace));
    return [
      ...processes.map(({ pid, command }) => `process ${pid} ${command.slice(0, 200)}`),
      ...traces.filter(unused),
    ];
  }

  /** Abandoned processes that ended wait for their new parent to notice. */
  #reap(): void {
    for (const pid of childrenOf(process.pid))
      if (!this.#own.has(pid) && /^State:\s*Z/m.test(read(`/proc/${pid}/status`))) tryWait(pid);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#reaper);
  }
}

/** In a namespace of processes the machine's control groups show, and whose they are does not. */
const seesAllProcesses = readlinkSync("/proc/self/ns/pid") === "pid:[4026531836]";

function machineTraces(): string[] {
  const mounts = read("/proc/self/mounts").split("\n");
  return [
    // `ip netns` makes its own mount when the machine has none yet, and keeps it.
    ...mounts
      .filter((line) => line !== "" && line.split(" ")[1] !== "/run/netns")
      .map((line) => `mount ${line.split(" ").slice(0, 3).join(" ")}`),
    ...networkNamespaces().map((name) => `namespace ${name}`),
    ...(seesAllProcesses ? controlGroups() : [])
      .filter((path) => path.includes("/holdfast-"))
      .map((path) => `control group ${path}`),
  ];
}

/** Somebody else's installation may have come up meanwhile: what carries the name of a living engine is its own. */
function unused(trace: string): boolean {
  const instance = /(?:hft?-|holdfast-)([a-z0-9]{4,})/.exec(trace)?.[1];
  if (instance === undefined) return true;
  return !readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && read(`/proc/${pid}/cmdline`).includes(instance));
}

/** All processes below us but those that ended. */
function descendants(): { pid: number; command: string }[] {
  const found: { pid: number; command: string }[] = [];
  for (const open = childrenOf(process.pid); open.length > 0; ) {
    const pid = open.pop() ?? 0;
    const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
    if (command !== "") found.push({ pid, command });
    open.push(...childrenOf(pid));
  }
  return found;
}

function childrenOf(pid: number): number[] {
  const tasks = list(`/proc/${pid}/task`);
  return tasks.flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(" ").filter(Boolean).map(Number));
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Ended by itself.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Ended while we looked.
    return "";
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    // Ended while we looked.
    return [];
  }
}
