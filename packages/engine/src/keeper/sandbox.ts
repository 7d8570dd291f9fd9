import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ExitStatus, SandboxState } from "../runtime/types.ts";
import { removeCgroup, sawOom } from "./cgroup.ts";
import type { Children } from "./children.ts";
import { readJson, writeJsonDurably } from "./durable-file.ts";
import { type EndedExec, ExecShelf } from "./exec-shelf.ts";
import { type IdMapCache, joinAccount } from "./id-maps.ts";
import { KeeperError } from "./keeper-error.ts";
import type { OciCommand } from "./oci-command.ts";
import type { OutputBook, OutputLedger } from "./output-ledger.ts";
import { execPaths, isSafeName, type Layout, type SandboxPaths, sandboxPaths } from "./paths.ts";
import type { CreateRequest, ExecRequest, ExecSnapshot, KeeperEvent } from "./protocol.ts";
import { RestoredExec } from "./restored-exec.ts";
import { assembleRootFs, detachAll } from "./root-fs.ts";
import { SandboxProcess } from "./sandbox-process.ts";
import type { SeccompCache } from "./seccomp-cache.ts";

const KILL_DEADLINE_MS = 5_000;
/** Init normally ends within a millisecond; then something unreaped may hold it. */
const SWEEP_AFTER_MS = 50;
const SWEEP_ALL_AFTER_MS = 1_000;
const DELETE_TIMEOUT_MS = 10_000;
const MAIN = "main";

export interface KeeperContext {
  layout: Layout;
  oci: OciCommand;
  children: Children;
  idMaps: IdMapCache;
  seccomp: SeccompCache;
  outputs: OutputLedger;
  emit(event: KeeperEvent): void;
  /** Tells the log what was cleaned up with trouble. */
  warn(message: string): void;
}

/** What must be known of a sandbox to clean up after it when the keeper that made it is gone. */
interface SandboxRecord {
  hostIdBase: number;
  /** Directory of overlayfs; removed at the end. */
  workDir: string;
}

type EndReason = "exit" | "terminated" | "oom" | "lost";

/** Makes names in the private directory and the trash unique. */
let serial = 0;

/** One sandbox in the keeper: its main process, its execs, its end. */
export class Sandbox {
  readonly id: string;
  readonly paths: SandboxPaths;
  readonly #context: KeeperContext;
  readonly #processes = new Map<string, SandboxProcess>();
  readonly #starting = new Map<string, Promise<void>>();
  readonly #ended: ExecShelf;
  #restoredMain: RestoredExec | undefined;
  #record: SandboxRecord = { hostIdBase: 0, workDir: "" };
  #final: SandboxState | undefined;
  #ending: Promise<void> | undefined;
  #creating: Promise<void> = Promise.resolve();
  #reason: EndReason = "exit";

  constructor(id: string, context: KeeperContext) {
    this.id = id;
    this.#context = context;
    this.paths = sandboxPaths(context.layout, id);
    this.#ended = new ExecShelf({
      retentionMs: () => context.outputs.limits.execRetentionMs,
      forget: (execId) => this.#forgetExec(execId),
    });
  }

  get cgroup(): string {
    return `${this.#context.layout.cgroupParent}/${this.id}`;
  }

  get state(): SandboxState {
    return this.#final ?? { running: this.#processes.has(MAIN) && this.#ending === undefined };
  }

  create(request: CreateRequest): Promise<void> {
    this.#creating = this.#create(request);
    return this.#creating;
  }

  async #create(request: CreateRequest): Promise<void> {
    const { layout, oci, children, idMaps, seccomp } = this.#context;
    mkdirSync(this.paths.bundle, { recursive: true, mode: 0o700 });
    mkdirSync(this.paths.data, { recursive: true, mode: 0o700 });
    using maps = await idMaps.get(request.hostIdBase);
    let started: SandboxProcess | undefined;
    try {
      const { workDir } = assembleRootFs({ request, paths: this.paths, layout, maps });
      this.#record = { hostIdBase: request.hostIdBase, workDir };
      writeFileSync(this.paths.record, JSON.stringify(this.#record));
      writeFileSync(this.paths.config, JSON.stringify(joinAccount(seccomp.apply(request.config), maps)));
      started = this.#makeMain();
      await started.start(oci, children);
      this.#processes.set(MAIN, started);
      seccomp.learn(request.config, this.id);
      detachAll(this.paths, { keepRoot: true });
    } catch (error) {
      await this.#cleanUp();
      throw error;
    }
    if (started.exit !== undefined) this.#mainEnded(started.exit);
  }

  get #book(): OutputBook {
    return this.#context.outputs.book(this.id, this.#record.hostIdBase);
  }

  #makeMain(): SandboxProcess {
    const { layout, emit } = this.#context;
    return new SandboxProcess({
      paths: execPaths(layout, this.id, MAIN),
      command: (extra) => ["run", "--detach", "--bundle", this.paths.bundle, ...extra, this.id],
      hostIdBase: this.#record.hostIdBase,
      consolePath: this.#consolePath(),
      stdout: "pipe",
      stderr: "pipe",
      stdin: false,
      book: this.#book,
      onOutput: () => emit({ event: "output", sandboxId: this.id, execId: MAIN }),
      onEnd: () => emit({ event: "exec", sandboxId: this.id, execId: MAIN }),
      onExit: (exit) => {
        if (this.#processes.has(MAIN)) this.#mainEnded(exit);
      },
    });
  }

  /** Starting the same id again is answered by the running one. */
  async exec(request: ExecRequest): Promise<void> {
    if (!isSafeName(request.execId) || request.execId === MAIN) {
      throw new KeeperError("invalid", "An exec id is 1 to 128 letters, digits, dots, dashes or underscores.");
    }
    const starting = this.#starting.get(request.execId);
    if (starting !== undefined) return starting;
    if (this.#processes.has(request.execId) || this.#ended.get(request.execId) !== undefined) return;
    if (!this.state.running) throw new KeeperError("not_running", `Sandbox ${this.id} has ended.`);
    const started = this.#startExec(request);
    this.#starting.set(request.execId, started);
    try {
      await started;
    } finally {
      this.#starting.delete(request.execId);
    }
  }

  async #startExec(request: ExecRequest): Promise<void> {
    const { layout, emit, oci, children } = this.#context;
    const { execId } = request;
    const paths = execPaths(layout, this.id, execId);
    // The environment may hold secrets: the file lies in memory and lives only for the start.
    const processFile = `${layout.privateDir}/p${serial++}`;
    const made = new SandboxProcess({
      paths,
      command: (extra) => ["exec", "--detach", ...extra, "--process", processFile, this.id],
      hostIdBase: this.#record.hostIdBase,
      consolePath: this.#consolePath(),
      ...(request.pty ? { pty: request.pty } : {}),
      stdout: request.stdout,
      stderr: request.stderr,
      stdin: true,
      book: this.#book,
      ...(request.timeoutMs !== undefined ? { timeoutMs: request.timeoutMs } : {}),
      onOutput: () => emit({ event: "output", sandboxId: this.id, execId }),
      onEnd: () => {
        this.#ended.add(execId, made);
        emit({ event: "exec", sandboxId: this.id, execId });
      },
    });
    writeFileSync(processFile, JSON.stringify(request.process), { mode: 0o600 });
    try {
      await made.start(oci, children);
      this.#processes.set(execId, made);
    } catch (error) {
      made.forget();
      await rm(paths.dir, { recursive: true, force: true });
      if (!this.state.running) throw new KeeperError("not_running", `Sandbox ${this.id} has ended.`);
      throw error;
    } finally {
      rmSync(processFile, { force: true });
    }
  }

  #consolePath(): string {
    return `${this.#context.layout.privateDir}/c${serial++}`;
  }

  process(execId: string): SandboxProcess | undefined {
    return this.#processes.get(execId);
  }

  async execSnapshot(execId: string): Promise<ExecSnapshot> {
    const living = this.#processes.get(execId);
    if (living !== undefined) return living.snapshot();
    if (isSafeName(execId)) {
      const kept = await readJson(execPaths(this.#context.layout, this.id, execId).exit);
      if (kept !== undefined) return kept as ExecSnapshot;
    }
    throw new KeeperError("not_found", `Sandbox ${this.id} has no exec ${execId}.`);
  }

  /** See `Spool.attach`. */
  attach(execId: string, { fd, offset }: { fd: 1 | 2; offset: number }): number {
    this.#ended.touch(execId);
    const exec = this.#exec(execId);
    if (exec === undefined) throw new KeeperError("not_found", `Sandbox ${this.id} has no exec ${execId}.`);
    return exec.attach(fd, offset);
  }

  /** A client is at this exec: it has the output below `below`, its exit, or is only slow. */
  acknowledge(execId: string, seen: { fd?: 1 | 2; below?: number; exit?: boolean }): void {
    this.#ended.touch(execId);
    if (seen.fd !== undefined && seen.below !== undefined) this.#exec(execId)?.acknowledge(seen.fd, seen.below);
    if (seen.exit === true) this.#ended.exitRead(execId);
  }

  #exec(execId: string): EndedExec | undefined {
    return this.#processes.get(execId) ?? this.#ended.get(execId);
  }

  #forgetExec(execId: string): void {
    this.#processes.delete(execId);
    const { dir } = execPaths(this.#context.layout, this.id, execId);
    rm(dir, { recursive: true, force: true }).catch((error: unknown) => {
      this.#context.warn(`${dir} could not be removed; it goes with its sandbox: ${String(error)}`);
    });
  }

  /** Ends the sandbox if it runs; resolves when nothing of it is left but its spools. */
  async destroy(): Promise<void> {
    if (this.#final !== undefined) return;
    await this.#creating.catch(() => {
      // Whoever asked for it is told; what it left is cleaned up below.
    });
    this.#end("terminated");
    await this.#ending;
  }

  async forget(): Promise<void> {
    await this.destroy();
    this.#ended.clear();
    this.#restoredMain?.forget();
    for (const made of this.#processes.values()) {
      made.dispose();
      made.forget();
    }
    this.#processes.clear();
    await this.#discard(this.paths.dir);
  }

  /** For a sandbox whose keeper died: no one can own its pipes again, so it ends. */
  async recover(): Promise<void> {
    const record = await readJson(this.paths.record);
    if (record !== undefined) this.#record = record as SandboxRecord;
    await this.#closeExecs();
    const final = await readJson(this.paths.final);
    if (final !== undefined) {
      this.#final = final as SandboxState;
      return;
    }
    this.#end("lost");
    await this.#ending;
  }

  /** Execs whose end nobody saw: killed with their sandbox, with the output that was kept. */
  async #closeExecs(): Promise<void> {
    const execIds = existsSync(this.paths.execs) ? readdirSync(this.paths.execs).filter(isSafeName) : [];
    for (const execId of execIds) {
      const paths = execPaths(this.#context.layout, this.id, execId);
      const found = new RestoredExec(paths.dir, this.#book);
      if (execId === MAIN) this.#restoredMain = found;
      else this.#ended.add(execId, found);
      if ((await readJson(paths.exit)) !== undefined) continue;
      const lost: ExecSnapshot = {
        exit: { signal: 9 },
        stdinBytes: 0,
        stdinClosed: true,
        ...found.counts(),
        lostBytes: 0,
      };
      await writeJsonDurably(paths.exit, lost);
    }
  }

  #mainEnded(exit: ExitStatus): void {
    const killed = "signal" in exit && exit.signal === 9;
    this.#end(killed && sawOom(this.cgroup) ? "oom" : "exit");
  }

  #end(reason: EndReason): void {
    if (this.#ending !== undefined) return;
    this.#reason = reason;
    this.#ending = this.#finish();
  }

  async #finish(): Promise<void> {
    await this.#cleanUp();
    const exit = this.#processes.get(MAIN)?.exit ?? { signal: 9 };
    this.#final = { running: false, exit: { ...exit, reason: this.#reason } };
    try {
      await writeJsonDurably(this.paths.final, this.#final);
    } catch (error) {
      this.#context.warn(`The end of sandbox ${this.id} could not be written down: ${String(error)}`);
    }
    this.#context.emit({ event: "sandbox", sandboxId: this.id });
  }

  async #cleanUp(): Promise<void> {
    const { oci, warn } = this.#context;
    await this.#killInit();
    await oci.run({
      args: ["delete", "--force", this.id],
      log: this.paths.runtimeLog,
      stdio: ["ignore", "ignore", "ignore"],
      timeoutMs: DELETE_TIMEOUT_MS,
    });
    const left = await removeCgroup(this.cgroup);
    if (left.length > 0) warn(`Sandbox ${this.id} left cgroups behind: ${left.join(", ")}`);
    detachAll(this.paths, { keepRoot: false });
    if (this.#record.workDir !== "") await this.#discard(this.#record.workDir);
    await this.#discard(this.paths.data);
    await this.#discard(this.paths.bundle);
  }

  /** The end of a PID namespace's init is the end of every process in it. */
  async #killInit(): Promise<void> {
    const main = this.#processes.get(MAIN);
    if (main === undefined || main.exit !== undefined) return;
    main.kill(9);
    const started = performance.now();
    while (main.exit === undefined && performance.now() - started < KILL_DEADLINE_MS) {
      await delay(2);
      const waited = performance.now() - started;
      if (waited > SWEEP_AFTER_MS) this.#context.children.sweep({ all: waited > SWEEP_ALL_AFTER_MS });
    }
    if (main.exit === undefined)
      this.#context.warn(`Sandbox ${this.id}: init did not end within ${KILL_DEADLINE_MS} ms.`);
  }

  /** Out of the way at once, removed in the background: a large tree takes seconds. */
  async #discard(path: string): Promise<void> {
    const grave = join(this.#context.layout.trash, `${this.id}-${serial++}`);
    try {
      await rename(path, grave);
    } catch {
      // Missing already, or on another file system: removed where it is.
      await rm(path, { recursive: true, force: true });
      return;
    }
    rm(grave, { recursive: true, force: true }).catch((error: unknown) => {
      this.#context.warn(`${grave} could not be removed; it is tried again at the next start: ${String(error)}`);
    });
  }
}
