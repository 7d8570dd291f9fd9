import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createRuntime,
  type ExecSpec,
  type ExitStatus,
  type Runtime,
  type RuntimeOptions,
  type SandboxSpec,
} from "../../src/runtime/index.ts";

const BUSYBOX = "/bin/busybox";
export const HOST_ID_BASE = 400_000;
const WAIT_MS = 20_000;

/** Why these tests cannot run here; undefined when they can. */
export function cannotRun(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(BUSYBOX)) return "needs /bin/busybox (apt-get install busybox-static)";
  return undefined;
}

export function printSkipReason(): boolean {
  const reason = cannotRun();
  if (reason !== undefined) console.warn(`skipped: ${reason}`);
  return reason !== undefined;
}

export interface Finished {
  stdout: string;
  stderr: string;
  exit: ExitStatus;
}

type Options = Pick<RuntimeOptions, "accountLimits" | "disk" | "output" | "reserves">;

/** One state directory, one network namespace, one tiny root file system; everything goes away with it. */
export class Machine implements AsyncDisposable {
  readonly dir: string;
  readonly stateDir: string;
  readonly layer: string;
  readonly instance: string;
  readonly netns: string;
  readonly messages: string[] = [];
  runtime: Runtime;
  #sandboxes = 0;
  readonly #options: Options;

  private constructor(dir: string, runtime: Runtime, names: { instance: string; netns: string; options: Options }) {
    this.dir = dir;
    this.stateDir = join(dir, "state");
    this.layer = join(dir, "layer");
    this.runtime = runtime;
    this.instance = names.instance;
    this.netns = names.netns;
    this.#options = names.options;
  }

  /** `before` runs when all is there but the keeper: it may start another one. */
  static async start(
    options: Options & { before?: (stateDir: string, instance: string) => Promise<void> } = {},
  ): Promise<Machine> {
    const dir = mkdtempSync(join(tmpdir(), "holdfast-rt-"));
    makeLayer(join(dir, "layer"));
    const instance = `t${randomUUID().slice(0, 8)}`;
    const netns = `hft-${instance}`;
    execFileSync("ip", ["netns", "add", netns]);
    try {
      const { before, ...more } = options;
      if (before !== undefined) {
        mkdirSync(join(dir, "state"), { mode: 0o700 });
        await before(join(dir, "state"), instance);
      }
      const runtime = await createRuntime({ stateDir: join(dir, "state"), instance, log: quietLog, ...more });
      return new Machine(dir, runtime, { instance, netns, options: more });
    } catch (error) {
      removeTraces(dir, netns);
      throw error;
    }
  }

  /** A second engine on the same state, as after a restart. */
  async reopen(): Promise<Runtime> {
    await this.runtime[Symbol.asyncDispose]();
    const { stateDir, instance } = this;
    this.runtime = await createRuntime({ stateDir, instance, log: quietLog, ...this.#options });
    return this.runtime;
  }

  spec(changes: Partial<SandboxSpec> = {}): SandboxSpec {
    return {
      sandboxId: `sb-${this.#sandboxes++}`,
      layers: [this.layer],
      hostIdBase: HOST_ID_BASE,
      args: ["/bin/sleep", "100000"],
      env: { PATH: "/bin" },
      cwd: "/",
      mounts: [],
      symlinks: [],
      limits: { pids: 100 },
      networkNamespace: `/run/netns/${this.netns}`,
      hostname: "box",
      files: [],
      ...changes,
    };
  }

  async create(changes: Partial<SandboxSpec> = {}): Promise<string> {
    const spec = this.spec(changes);
    await this.runtime.create(spec, { signal: AbortSignal.timeout(WAIT_MS) });
    return spec.sandboxId;
  }

  /** Starts a shell command; returns its exec id. */
  async start(sandboxId: string, command: string, changes: Partial<ExecSpec> = {}): Promise<string> {
    const execId = randomUUID();
    const spec: ExecSpec = {
      sandboxId,
      execId,
      args: ["/bin/sh", "-c", command],
      env: { PATH: "/bin:/usr/bin" },
      cwd: "/",
      stdout: "pipe",
      stderr: "pipe",
      ...changes,
    };
    await this.runtime.exec(spec, { signal: AbortSignal.timeout(WAIT_MS) });
    return spec.execId;
  }

  async read(sandboxId: string, execId: string, fd: 1 | 2 = 1, offset = 0): Promise<string> {
    const chunks: Uint8Array[] = [];
    const target = { sandboxId, execId, fd, offset };
    for await (const chunk of this.runtime.readOutput(target, { signal: AbortSignal.timeout(WAIT_MS) }))
      chunks.push(chunk);
    return Buffer.concat(chunks).toString("utf8");
  }

  /** Reads until `text` has come, then lets go. */
  async readUntil(sandboxId: string, execId: string, text: string): Promise<string> {
    let seen = "";
    const target = { sandboxId, execId, fd: 1 as const, offset: 0 };
    for await (const chunk of this.runtime.readOutput(target, { signal: AbortSignal.timeout(WAIT_MS) })) {
      seen += Buffer.from(chunk).toString("utf8");
      if (seen.includes(text)) return seen;
    }
    throw new Error(`Output ended without ${JSON.stringify(text)}: ${JSON.stringify(seen)}`);
  }

  async finish(sandboxId: string, execId: string): Promise<Finished> {
    const exit = await this.runtime.waitExec(sandboxId, execId, { signal: AbortSignal.timeout(WAIT_MS) });
    const [stdout, stderr] = await Promise.all([this.read(sandboxId, execId, 1), this.read(sandboxId, execId, 2)]);
    return { stdout, stderr, exit };
  }

  async run(sandboxId: string, command: string, changes: Partial<ExecSpec> = {}): Promise<Finished> {
    return this.finish(sandboxId, await this.start(sandboxId, command, changes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runtime.shutdown();
    removeTraces(this.dir, this.netns);
  }
}

/** The keeper's pid: it holds the lock. */
export function keeperPid(machine: Machine): number {
  const inode = statSync(join(machine.stateDir, "keeper.lock")).ino;
  const locks = readFileSync("/proc/locks", "utf8").split("\n");
  const line = locks.find((lock) => lock.includes(`:${inode} `) && lock.includes("FLOCK"));
  return Number(line?.trim().split(/\s+/)[4]);
}

/** Processes of which `parent` is the parent, with their states: `Z crun`. */
export function childrenOf(parent: number): string[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
        const [state, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
        return Number(ppid) === parent ? [`${state} ${name}`] : [];
      } catch {
        // Ended while we looked.
        return [];
      }
    });
}

function removeTraces(dir: string, netns: string): void {
  execFileSync("ip", ["netns", "del", netns]);
  rmSync(dir, { recursive: true, force: true });
}

const quietLog = { info: () => undefined, warn: () => undefined };

function makeLayer(layer: string): void {
  for (const name of ["bin", "etc", "proc", "dev", "root", "usr", "mnt/empty", "mnt/full"]) {
    mkdirSync(join(layer, name), { recursive: true });
  }
  mkdirSync(join(layer, "tmp"));
  chmodSync(join(layer, "tmp"), 0o1777);
  copyFileSync(BUSYBOX, join(layer, "bin/busybox"));
  chmodSync(join(layer, "bin/busybox"), 0o755);
  const applets = execFileSync(BUSYBOX, ["--list"], { encoding: "utf8" }).trim().split("\n");
  for (const applet of applets) if (applet !== "busybox") symlinkSync("busybox", join(layer, "bin", applet));
  for (const name of ["lib", "lib64", "sbin"]) symlinkSync(`usr/${name}`, join(layer, name));
  writeFileSync(join(layer, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nclaudeuser:x:1000:1000::/tmp:/bin/sh\n");
  writeFileSync(join(layer, "etc/group"), "root:x:0:\nclaudeuser:x:1000:\n");
  writeFileSync(join(layer, "mnt/full/file"), "content");
}

/** Everything of `instance` that the machine shows: mounts, cgroups, processes of `hostIdBase`. */
export function traces(machine: Machine, sandboxId: string): string[] {
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(machine.instance));
  const own = mounts.filter((line) => !line.includes("/run/netns/"));
  const cgroups = execFileSync("find", ["/sys/fs/cgroup", "-maxdepth", "4", "-name", sandboxId], { encoding: "utf8" });
  const processes = readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => uidOf(pid) >= HOST_ID_BASE && uidOf(pid) < HOST_ID_BASE + 65_536);
  const ownCgroups = cgroups.split("\n").filter((dir) => dir.includes(machine.instance));
  return [...own, ...ownCgroups, ...processes];
}

export function uidOf(pid: string): number {
  try {
    return statSync(`/proc/${pid}`).uid;
  } catch {
    // Ended while we looked.
    return -1;
  }
}
