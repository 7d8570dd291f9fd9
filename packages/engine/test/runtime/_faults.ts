import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { layoutOf } from "../../src/keeper/paths.ts";
import { findRuntime } from "../../src/runtime/oci-runtime-choice.ts";

export interface FaultReport {
  /** Calls to the system since it was armed. */
  calls: number;
  /** Which failed, with what and where; undefined when it never came so far. */
  failed?: string;
}

/** A keeper in which one call to the system can be made to fail. */
export class FaultyKeeper {
  readonly #child: ChildProcess;
  readonly pid: number;

  constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.pid = pid;
  }

  async arm(at: number, pick: number): Promise<void> {
    await this.#ask({ arm: at, pick });
  }

  async disarm(): Promise<FaultReport> {
    return (await this.#ask({ disarm: true })) as FaultReport;
  }

  async #ask(message: object): Promise<unknown> {
    const answer = once(this.#child, "message", { signal: AbortSignal.timeout(20_000) });
    this.#child.send(message);
    return (await answer)[0];
  }

  get lives(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  letGo(): void {
    this.#child.disconnect();
    this.#child.unref();
  }
}

/** Starts it as the engine would start the real one, which then finds it. */
export async function startFaultyKeeper(stateDir: string, instance: string): Promise<FaultyKeeper> {
  const layout = layoutOf(stateDir, instance);
  const options = JSON.stringify({ stateDir, instance, runtime: await findRuntime("auto") });
  const program = join(import.meta.dirname, "_faulty-keeper.ts");
  const log = openSync(layout.log, "a", 0o600);
  const child = spawn("unshare", ["--mount", "--propagation", "slave", "--", process.execPath, program, options], {
    detached: true,
    stdio: ["ignore", "pipe", log, "ipc"],
    cwd: "/",
  });
  closeSync(log);
  if (child.stdout === null) throw new Error("no stdout");
  const ended = once(child, "exit").then(() => Promise.reject(new Error(`it ended; see ${layout.log}`)));
  ended.catch(() => undefined);
  const first = once(createInterface({ input: child.stdout }), "line");
  const [line] = (await Promise.race([first, ended])) as [string];
  const { ready, pid, error } = JSON.parse(line) as { ready: boolean; pid: number; error?: string };
  if (!ready) throw new Error(error);
  return new FaultyKeeper(child, pid);
}

/** What a keeper holds, in words that two moments can be compared by. */
export function holdings(pid: number, layout: ReturnType<typeof layoutOf>): Record<string, unknown> {
  const inside = (path: string) => `/proc/${pid}/root${path}`;
  const listed = (path: string): string[] => {
    try {
      return readdirSync(path).toSorted();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw error;
    }
  };
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
  const descriptors = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      // Accounts' namespaces are kept, up to a number.
      return target.startsWith("user:") ? [] : target.replace(/\d+/g, "N");
    } catch {
      // Closed between the two looks.
      return [];
    }
  });
  const trees = listed("/sys/fs/cgroup").filter((name) => name !== "unified");
  const below = (dir: string): string[] =>
    listed(dir).flatMap((name) => (name.startsWith("account-") ? [name, ...below(`${dir}/${name}`)] : [name]));
  return {
    // Those of others on this machine come and go.
    mounts: mounts.filter((line) => line.includes(layout.privateDir)).length,
    descriptors: descriptors.toSorted(),
    cgroups: [...new Set(trees.flatMap((tree) => below(`/sys/fs/cgroup/${tree}${layout.cgroupParent}`)))].filter(
      (name) => !/[._]/.test(name) && name !== "tasks",
    ),
    private: listed(inside(layout.privateDir)),
    roots: listed(inside(`${layout.privateDir}/s`)),
    layers: listed(inside(`${layout.privateDir}/l`)),
    sandboxes: listed(layout.sandboxes),
    trash: listed(layout.trash),
    runtime: listed(layout.ociState),
    children: childrenOf(pid),
  };
}

function childrenOf(parent: number): string[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
        const [state, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
        return Number(ppid) === parent ? [`${state === "Z" ? "zombie " : ""}${name}`] : [];
      } catch {
        // Ended while we looked.
        return [];
      }
    })
    .toSorted();
}
