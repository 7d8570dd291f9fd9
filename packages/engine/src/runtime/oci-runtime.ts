import { mkdirSync, readFileSync } from "node:fs";
import { inBackground } from "@holdfast/std";
import type { Reserves } from "../disk/shortage.ts";
import type { DiskKind, DiskLimit, DiskProbe } from "../disk/types.ts";
import type { AccountLimits } from "../keeper/account-limits.ts";
import { cgroupMode } from "../keeper/cgroup.ts";
import { defaultOutputLimits } from "../keeper/output-ledger.ts";
import { execPaths, isSafeName, type Layout, layoutOf, sandboxPaths } from "../keeper/paths.ts";
import type { ExecSnapshot, OutputLimits, Request } from "../keeper/protocol.ts";
import { ociConfig, ociProcess } from "./bundle.ts";
import { followOutput } from "./follow-output.ts";
import { HybridLeftovers } from "./hybrid-leftovers.ts";
import { execChannel, type KeeperClient, sandboxChannel } from "./keeper-client.ts";
import { reachKeeper } from "./keeper-process.ts";
import { canLimitSwap, canSetDeviceRules, possibleLimits, withoutImpossible } from "./limits.ts";
import { type FoundRuntime, findRuntime, type OciRuntimeName } from "./oci-runtime-choice.ts";
import { type Rlimit, readLimits, rlimitsFrom } from "./profile.ts";
import { StdinWriter } from "./stdin-writer.ts";
import {
  type ExecSpec,
  type ExecState,
  type ExitStatus,
  type Runtime,
  RuntimeError,
  type SandboxSpec,
  type SandboxState,
} from "./types.ts";

export interface RuntimeLog {
  info(message: string): void;
  warn(message: string): void;
}

export interface DiskOptions {
  quota: DiskKind | "auto";
  /** A volume that is larger stays a plain directory. */
  convertUpTo: DiskLimit;
}

export interface RuntimeOptions {
  /** Root-only directory for everything that outlives the engine. */
  stateDir: string;
  /** Default `auto`. */
  ociRuntime?: OciRuntimeName;
  /** How disk is limited; absent: it is not. */
  disk?: DiskOptions;
  /** What of disk and memory is kept free; absent: by the machine. */
  reserves?: Reserves;
  /** Short name, unique per state directory on this machine: letters, digits, dashes. */
  instance: string;
  /** Of a keeper that is started; default: `accountLimits()`. */
  accountLimits?: Partial<AccountLimits>;
  log: RuntimeLog;
  /** Absent: the keeper's own defaults. */
  output?: OutputLimits;
}

const SHUTDOWN_TIMEOUT_MS = 30_000;
const SOCKET_PATH_LIMIT = 104;

/** Opens the runtime over `stateDir`: connects to its living keeper or starts one, which ends what an earlier one lost. */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  if (!/^[a-z0-9-]{1,32}$/.test(options.instance)) {
    throw new RuntimeError("invalid", "The instance name is 1 to 32 lower-case letters, digits or dashes.");
  }
  const layout = layoutOf(options.stateDir, options.instance);
  if (Buffer.byteLength(layout.socket) > SOCKET_PATH_LIMIT) {
    throw new RuntimeError(
      "invalid",
      `${layout.socket} is too long for a Unix socket; choose a shorter data directory.`,
    );
  }
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const runtime = new OciRuntime(options, layout, await findRuntime(options.ociRuntime ?? "auto"));
  await runtime.open();
  return runtime;
}

class OciRuntime implements Runtime {
  readonly #options: RuntimeOptions;
  readonly #layout: Layout;
  readonly #found: FoundRuntime;
  #client: KeeperClient | undefined;
  #connecting: Promise<KeeperClient> | undefined;
  #replacing: Promise<void> | undefined;
  #rlimits: Rlimit[] = [];
  #disposed = false;
  /** Of the keeper that is connected, when it is not one of ours. */
  #leftovers: HybridLeftovers | undefined;
  #deviceRules = false;
  readonly #output: OutputLimits;
  readonly #stdin = new StdinWriter();
  readonly #cgroupMode = cgroupMode();
  readonly #possibleLimits = possibleLimits(this.#cgroupMode);

  constructor(options: RuntimeOptions, layout: Layout, found: FoundRuntime) {
    this.#options = options;
    this.#layout = layout;
    this.#found = found;
    this.#output = options.output ?? defaultOutputLimits;
  }

  async open(): Promise<void> {
    const missing = Object.entries(this.#possibleLimits).filter(([, possible]) => !possible);
    if (missing.length > 0) {
      const names = missing.map(([name]) => name).join(", ");
      this.#options.log.warn(`this machine's cgroups cannot limit ${names}: sandboxes run without`);
    }
    await this.#connection();
    await this.#replaceIdleAncestor();
  }

  /** A keeper from before limits of disk goes as soon as nothing runs in it; what it kept to read, the next one has. */
  async #replaceIdleAncestor(): Promise<void> {
    const client = await this.#connection();
    if (client.hello.disk !== undefined) return;
    this.#replacing ??= this.#replaceIfIdle(client).finally(() => {
      this.#replacing = undefined;
    });
    return this.#replacing;
  }

  async #replaceIfIdle(client: KeeperClient): Promise<void> {
    // One without an end runs, or is just being made.
    for (const id of await this.list()) if ((await this.state(id)).exit === undefined) return;
    this.#options.log.info("the keeper is of an older release and holds nothing: a new one takes its place");
    const ended = client.closes(SHUTDOWN_TIMEOUT_MS);
    await client.request({ op: "shutdown" });
    await ended;
    this.#client = undefined;
    await this.#connection();
  }

  async create(spec: SandboxSpec, { signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    checkName(spec.sandboxId);
    await this.#replaceIdleAncestor();
    const paths = sandboxPaths(this.#layout, spec.sandboxId);
    const cgroupsPath = `${this.#layout.cgroupParent}/${spec.sandboxId}`;
    // The keeper's mount namespace may be older than the mount below which network namespaces are pinned: see it with our eyes.
    const networkNamespace = `/proc/${process.pid}/root${spec.networkNamespace}`;
    const config = ociConfig({
      spec: { ...spec, networkNamespace, limits: withoutImpossible(spec.limits, this.#possibleLimits) },
      paths,
      cgroupsPath,
      rlimits: this.#rlimits,
      deviceRules: this.#deviceRules,
      swapLimit: canLimitSwap(this.#cgroupMode),
      arch: process.arch,
    });
    await this.#request({
      op: "create",
      sandboxId: spec.sandboxId,
      config,
      hostIdBase: spec.hostIdBase,
      layers: spec.layers,
      ...(spec.upperDir !== undefined ? { upperDir: spec.upperDir } : {}),
      ...(spec.limits.scratch !== undefined ? { scratch: spec.limits.scratch } : {}),
      mounts: spec.mounts.map(({ source, readOnly, idmapped, volume }) => ({
        source,
        readOnly,
        idmapped,
        ...(volume === undefined ? {} : { volume }),
      })),
      files: spec.files,
      symlinks: spec.symlinks,
    });
    if (signal.aborted) {
      await this.forget(spec.sandboxId);
      signal.throwIfAborted();
    }
  }

  get disk(): DiskProbe | undefined {
    return this.#client?.hello.disk;
  }

  state(sandboxId: string): Promise<SandboxState> {
    return this.#request({ op: "state", sandboxId });
  }

  list(): Promise<string[]> {
    return this.#request({ op: "list" });
  }

  waitSandbox(sandboxId: string, { signal }: { signal: AbortSignal }): Promise<SandboxState> {
    return this.#until(sandboxChannel(sandboxId), signal, async () => {
      const state = await this.state(sandboxId);
      return state.exit === undefined ? undefined : state;
    });
  }

  async destroy(sandboxId: string, reason: "terminated" | "timeout" | "idle"): Promise<void> {
    await this.#request({ op: "destroy", sandboxId, reason });
    this.#leftovers?.remove(sandboxId);
  }

  async forget(sandboxId: string): Promise<void> {
    await this.#request({ op: "forget", sandboxId });
    this.#leftovers?.remove(sandboxId);
  }

  async exec(spec: ExecSpec, { signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    checkName(spec.sandboxId);
    checkName(spec.execId);
    if (spec.args.length === 0) throw new RuntimeError("invalid", "There is no command to run.");
    await this.#connection();
    const env = spec.pty && !("TERM" in spec.env) ? { ...spec.env, TERM: spec.pty.term } : spec.env;
    await this.#request({
      op: "exec",
      sandboxId: spec.sandboxId,
      execId: spec.execId,
      process: ociProcess({
        args: spec.args,
        env,
        cwd: spec.cwd,
        rlimits: this.#rlimits,
        ...(spec.pty ? { size: spec.pty } : {}),
      }),
      ...(spec.pty ? { pty: { rows: spec.pty.rows, cols: spec.pty.cols } } : {}),
      stdout: spec.stdout,
      stderr: spec.stderr,
      ...(spec.timeoutMs !== undefined ? { timeoutMs: spec.timeoutMs } : {}),
    });
  }

  readOutput(
    target: { sandboxId: string; execId: string; fd: 1 | 2; offset: number },
    options: { signal: AbortSignal; onSkipped?: (bytes: number) => void },
  ): AsyncIterable<Uint8Array> {
    const { sandboxId, execId } = target;
    checkName(sandboxId);
    checkName(execId);
    return followOutput(
      {
        dir: execPaths(this.#layout, sandboxId, execId).dir,
        retentionMs: this.#output.execRetentionMs,
        snapshot: () => this.#snapshot(sandboxId, execId),
        nextChange: (until) => this.#nextChange(execChannel(sandboxId, execId), until),
        acknowledges: async () => (await this.#connection()).hello.acknowledges === true,
        request: (request) => this.#request(request),
      },
      target,
      options,
    );
  }

  async exitRead(sandboxId: string, execId: string): Promise<void> {
    const client = await this.#connection();
    if (client.hello.acknowledges) await client.request({ op: "acknowledge", sandboxId, execId, exit: true });
  }

  async writeStdin(
    target: { sandboxId: string; execId: string; offset: number; eof: boolean },
    data: Uint8Array,
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    await this.#stdin.write(target, data, {
      ...options,
      send: (offset, piece, eof) => this.#request({ op: "stdin", ...target, offset, eof }, piece),
    });
  }

  async execState(sandboxId: string, execId: string): Promise<ExecState> {
    const { exit, stdinBytes, stdinClosed } = await this.#snapshot(sandboxId, execId);
    return { ...(exit ? { exit } : {}), stdinBytes, stdinClosed };
  }

  waitExec(sandboxId: string, execId: string, { signal }: { signal: AbortSignal }): Promise<ExitStatus> {
    return this.#until(execChannel(sandboxId, execId), signal, async () => {
      return (await this.#snapshot(sandboxId, execId)).exit;
    });
  }

  async killExec(sandboxId: string, execId: string, signal: number): Promise<void> {
    await this.#request({ op: "kill", sandboxId, execId, signal });
  }

  async resizeExec(sandboxId: string, execId: string, size: { rows: number; cols: number }): Promise<void> {
    await this.#request({ op: "resize", sandboxId, execId, rows: size.rows, cols: size.cols });
  }

  async shutdown(): Promise<void> {
    const client = await this.#connection();
    const ended = client.closes(SHUTDOWN_TIMEOUT_MS);
    await client.request({ op: "shutdown" });
    await ended;
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#client?.close();
  }

  #snapshot(sandboxId: string, execId: string): Promise<ExecSnapshot> {
    return this.#request({ op: "execState", sandboxId, execId });
  }

  async #request<T>(request: Request, payload?: Uint8Array): Promise<T> {
    const client = await this.#connection();
    return client.request<T>(request, payload);
  }

  /** The living connection; a lost keeper is replaced once, for all who ask. */
  async #connection(): Promise<KeeperClient> {
    if (this.#disposed) throw new RuntimeError("unavailable", "The engine is shutting down.");
    if (this.#client !== undefined && !this.#client.closed) return this.#client;
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<KeeperClient> {
    const { log, instance, accountLimits, disk, reserves } = this.#options;
    const lost = this.#client !== undefined;
    const { client, started } = await reachKeeper({
      layout: this.#layout,
      instance,
      runtime: this.#found,
      output: this.#output,
      ...(accountLimits ? { accountLimits } : {}),
      ...(disk ? { disk } : {}),
      ...(reserves ? { reserves } : {}),
    });
    this.#client = client;
    this.#deviceRules = canSetDeviceRules(this.#cgroupMode, readFileSync(`/proc/${client.hello.pid}/status`, "utf8"));
    this.#rlimits = rlimitsFrom(readLimits(client.hello.pid));
    this.#leftovers = started ? undefined : new HybridLeftovers(client.hello.pid, this.#layout.cgroupParent);
    if (this.#leftovers?.present) {
      inBackground(this.#removeLeftovers(client, this.#leftovers), (error) => {
        log.warn(`what an older keeper left in its cgroup root could not be removed: ${String(error)}`);
      });
    }
    const how = started ? "started" : "found running";
    const message = `keeper ${how}: pid ${client.hello.pid}, ${client.hello.runtime}`;
    if (lost) log.warn(`${message}; the one before is gone and its sandboxes with it`);
    else log.info(message);
    return client;
  }

  async #removeLeftovers(client: KeeperClient, leftovers: HybridLeftovers): Promise<void> {
    const living = new Set<string>();
    for (const sandboxId of await client.request<string[]>({ op: "list" })) {
      const state = await client.request<SandboxState>({ op: "state", sandboxId });
      if (state.exit === undefined) living.add(sandboxId);
    }
    leftovers.removeAllBut(living);
  }

  /** Asks `check` now and after every change until it has an answer; across a keeper's death too. */
  async #until<T>(channel: string, signal: AbortSignal, check: () => Promise<T | undefined>): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      const waiting = new AbortController();
      const change = this.#nextChange(channel, AbortSignal.any([signal, waiting.signal]));
      try {
        const found = await this.#unlessLost(check);
        if (found !== undefined) return found;
        await change;
      } finally {
        waiting.abort();
      }
    }
  }

  async #unlessLost<T>(check: () => Promise<T | undefined>): Promise<T | undefined> {
    const asked = this.#client;
    try {
      return await check();
    } catch (error) {
      const lost = error instanceof RuntimeError && error.code === "unavailable" && !this.#disposed;
      // Another who asked may have reached the next keeper meanwhile.
      if (!lost || (this.#client === asked && asked?.closed === false)) throw error;
      return check();
    }
  }

  #nextChange(channel: string, signal: AbortSignal): Promise<void> {
    const events = this.#client?.events;
    return new Promise((resolve) => {
      if (events === undefined || this.#client?.closed || signal.aborted) return resolve();
      const done = () => {
        events.off(channel, done);
        events.off("close", done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      events.on(channel, done);
      events.on("close", done);
      signal.addEventListener("abort", done);
    });
  }
}

/** Ids become file names: nothing else may pass. */
function checkName(name: string): void {
  if (!isSafeName(name)) {
    throw new RuntimeError("invalid", "An id is 1 to 128 letters, digits, dots, dashes or underscores.");
  }
}
