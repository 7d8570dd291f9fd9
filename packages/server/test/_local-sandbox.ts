import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guestBundlePath } from "@holdfast/guest";
import { bundleGuest } from "@holdfast/guest/bundle";
import type {
  ExecOptions,
  RunningExec,
  SandboxHandle,
  SandboxProvider,
  SandboxSpec,
} from "../src/ports/sandbox-provider.ts";
import { answering } from "./_claude-lines.ts";
import { ClaudeStage } from "./_local-claude.ts";
import { childExec, socketExec, untilAbort } from "./_local-exec.ts";

const program = join(import.meta.dirname, "_claude-program.ts");
const { code: guestCode } = await bundleGuest();

/**
 * Sandboxes that are folders and processes of this machine. The guest is the real one; Claude Code is a program that
 * does what the test says (`stage`). Everything that was started ends with `dispose`, however it was started.
 */
export class LocalSandboxes implements SandboxProvider, AsyncDisposable {
  readonly folder: string;
  /** In the order they were made, ended ones included. */
  readonly sandboxes: LocalSandbox[] = [];
  readonly stage: ClaudeStage;
  /** Awaited before each of these; a rejection is the call's failure. */
  readonly before: Partial<
    Record<"build" | "create" | "permissions" | "start", (signal?: AbortSignal) => Promise<void>>
  > = {};

  private constructor(folder: string, stage: ClaudeStage) {
    this.folder = folder;
    this.stage = stage;
  }

  static async open(): Promise<LocalSandboxes> {
    const folder = mkdtempSync(join(tmpdir(), "local-sandboxes-"));
    return new LocalSandboxes(folder, await ClaudeStage.open(join(folder, "stage.sock"), answering));
  }

  async buildImage(): Promise<string> {
    await this.before.build?.();
    return "im-local";
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<SandboxHandle> {
    await this.before.create?.(signal);
    const sandbox = new LocalSandbox(this, `sb-${this.sandboxes.length}`, spec);
    this.sandboxes.push(sandbox);
    return sandbox.handle();
  }

  async find(tags: Readonly<Record<string, string>>): Promise<SandboxHandle[]> {
    return this.sandboxes
      .filter((each) => each.isRunning && Object.entries(tags).every(([name, value]) => each.spec.tags[name] === value))
      .map((each) => each.handle());
  }

  async tags(handle: SandboxHandle): Promise<Record<string, string>> {
    return { ...this.sandboxes.find(({ id }) => id === handle.id)?.spec.tags };
  }

  async look(id: string): Promise<"running" | "ended" | "missing"> {
    const found = this.sandboxes.find((each) => each.id === id);
    return found === undefined ? "missing" : found.isRunning ? "running" : "ended";
  }

  async deleteVolume(name: string): Promise<void> {
    rmSync(join(this.folder, "volumes", name), { recursive: true, force: true });
  }

  async ping(): Promise<void> {}

  /** The newest sandbox. */
  get last(): LocalSandbox {
    const sandbox = this.sandboxes.at(-1);
    if (sandbox === undefined) throw new Error("no sandbox was made yet");
    return sandbox;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stage[Symbol.asyncDispose]();
    await Promise.all(this.sandboxes.map((each) => each.end()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One folder with its guest; ends like a sandbox does: everything in it is killed. */
export class LocalSandbox {
  readonly id: string;
  readonly spec: SandboxSpec;
  readonly folder: string;
  readonly runDir: string;
  readonly #owner: LocalSandboxes;
  readonly #guest: string;
  readonly #links = new Set<Socket>();
  readonly #ended = Promise.withResolvers<string | undefined>();
  isRunning = true;

  constructor(owner: LocalSandboxes, id: string, spec: SandboxSpec) {
    this.id = id;
    this.spec = spec;
    this.#owner = owner;
    this.folder = join(owner.folder, id);
    this.runDir = join(this.folder, "run");
    this.#guest = join(this.folder, "guest.mjs");
    mkdirSync(this.folder, { mode: 0o711 });
    writeFileSync(this.#guest, guestCode);
    chmodSync(this.#guest, 0o644);
    for (const name of Object.values(spec.volumes)) mkdirSync(this.volume(name), { recursive: true });
  }

  volume(name: string): string {
    return join(this.#owner.folder, "volumes", name);
  }

  handle(): SandboxHandle {
    return {
      id: this.id,
      exec: (args, options) => this.exec(args, options),
      waitEnd: (signal) => untilAbort(this.#ended.promise, signal),
      isRunning: () => Promise.resolve(this.isRunning),
      terminate: () => this.end(),
      detach: () => undefined,
    };
  }

  async exec(args: readonly string[], options: ExecOptions): Promise<RunningExec> {
    options.signal.throwIfAborted();
    if (!this.isRunning) throw Object.assign(new Error(`${this.id} has ended`), { name: "NotFoundError" });
    if (args[0] === "socat") return socketExec(join(this.runDir, "guest.sock"), this.#links);
    if (args[1] === guestBundlePath && args[2] === "permissions") {
      await this.#owner.before.permissions?.(options.signal);
      return childExec("true", [], {}, options);
    }
    if (args[1] === guestBundlePath && args[2] === "fence") {
      const own = [this.#guest, ...args.slice(2), "--run-dir", this.runDir];
      return childExec(process.execPath, own, {}, options);
    }
    // The program that stands for Claude Code remembers by itself.
    if (args.includes("memory")) return childExec("echo", ['{"state":"whole","detail":null,"mended":[]}'], {}, options);
    if (args[1] === guestBundlePath && args[2] === "terminal") return this.#terminal(args.slice(2), options);
    if (args[1] === guestBundlePath && args[2] === "start") return await this.#start(args.slice(3), options);
    return childExec(args[0] ?? "", args.slice(1), { LOCAL_SANDBOX: this.folder }, options);
  }

  /** Breaks every connection to the guest; gives how many. */
  cutLinks(): number {
    const cut = this.#links.size;
    for (const link of this.#links) link.destroy();
    return cut;
  }

  /** Kills the guest as the kernel would when memory runs out. */
  killGuest(): void {
    for (const pid of this.guests()) kill(pid);
  }

  /** The guest answers nobody any more, until `thawGuest`. */
  freezeGuest(): void {
    this.#signalGuest("SIGSTOP");
  }

  thawGuest(): void {
    this.#signalGuest("SIGCONT");
  }

  #signalGuest(signal: NodeJS.Signals): void {
    for (const pid of this.guests()) process.kill(pid, signal);
  }

  /** Pids of the guest's daemon: one, while it runs. */
  guests(): number[] {
    return this.#pids((cmdline) => cmdline.includes(`${this.#guest}\0daemon`));
  }

  /** Pids of everything that runs in it. */
  processes(): number[] {
    return this.#pids((cmdline, environment) => {
      return cmdline.includes(this.#guest) || environment.includes(`LOCAL_SANDBOX=${this.folder}\0`);
    });
  }

  /** `why`: what the provider says of an end that nobody asked for. */
  async end(why?: string): Promise<void> {
    this.isRunning = false;
    for (let round = 0; round < 200; round++) {
      const pids = this.processes();
      if (pids.length === 0) break;
      for (const pid of pids) kill(pid);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.cutLinks();
    this.#ended.resolve(why);
  }

  async #start(args: readonly string[], options: ExecOptions): Promise<RunningExec> {
    await this.#owner.before.start?.(options.signal);
    const end = args.indexOf("--");
    const cwd = args.indexOf("--cwd");
    const own = args.slice(0, end).map((arg, at) => (at === cwd + 1 ? this.#mounted(arg) : arg));
    const claude = args.slice(end + 1);
    const flags = claude.slice(claude.indexOf("claude") + 1);
    const { wrapper } = this.#owner.stage;
    const command = [...wrapper, process.execPath, "--disable-warning=ExperimentalWarning", program, ...flags];
    const secrets = {
      ...options.secrets,
      LOCAL_SANDBOX: this.folder,
      LOCAL_CLAUDE_SOCKET: this.#owner.stage.socketPath,
    };
    const guest = [this.#guest, "start", "--run-dir", this.runDir, ...own, "--", ...command];
    return childExec(process.execPath, guest, secrets, options);
  }

  /** Its shell is this machine's, of whoever runs the test, at home in the sandbox's own folder. */
  #terminal(args: readonly string[], options: ExecOptions): RunningExec {
    const end = args.indexOf("--");
    const cwd = args.indexOf("--cwd");
    const own = args.slice(1, end).map((arg, at) => (at === cwd ? this.#mounted(arg) : arg));
    const env = args.slice(args.indexOf("env")).filter((arg) => !arg.startsWith("HOME="));
    const command = [...env, `HOME=${this.folder}`, "PS1=> "];
    const guest = [this.#guest, "terminal", "--run-dir", this.runDir, ...own, "--", ...command];
    return childExec(process.execPath, guest, { LOCAL_SANDBOX: this.folder }, options);
  }

  #mounted(path: string): string {
    const name = this.spec.volumes[path];
    return name === undefined ? path : this.volume(name);
  }

  #pids(matches: (cmdline: string, environment: string) => boolean): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .filter((name) => matches(procFile(name, "cmdline"), procFile(name, "environ")))
      .map(Number);
  }
}

function procFile(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch {
    // Gone meanwhile.
    return "";
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone meanwhile.
  }
}
