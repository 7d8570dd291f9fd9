import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Disks } from "../disk/disks.ts";
import type { ExitStatus, SandboxState } from "../runtime/types.ts";
import { type AccountGroups, inCgroup } from "./account-groups.ts";
import { cgroupExists, sawOom } from "./cgroup.ts";
import type { Children } from "./children.ts";
import { readJson, writeJsonDurably } from "./durable-file.ts";
import type { EndingStep, Leftovers } from "./ending.ts";
import { type EndedExec, ExecShelf } from "./exec-shelf.ts";
import { type IdMapCache, joinAccount } from "./id-maps.ts";
import { KeeperError } from "./keeper-error.ts";
import { closeLostExecs } from "./lost-execs.ts";
import type { MachineWatch } from "./machine-watch.ts";
import type { OciCommand } from "./oci-command.ts";
import type { OutputBook, OutputLedger } from "./output-ledger.ts";
import { execPaths, isSafeName, type Layout, type SandboxPaths, sandboxPaths } from "./paths.ts";
import type { CreateRequest, ExecRequest, ExecSnapshot, KeeperEvent } from "./protocol.ts";
import type { RestoredExec } from "./restored-exec.ts";
import { assembleRootFs, detachAll } from "./root-fs.ts";
import { clearingSteps } from "./sandbox-clearing.ts";
import { SandboxDisk } from "./sandbox-disk.ts";
import { SandboxProcess } from "./sandbox-process.ts";
import type { SeccompCache } from "./seccomp-cache.ts";
import type { Trash } from "./trash.ts";

const MAIN = "main";

export interface KeeperContext {
  layout: Layout;
  oci: OciCommand;
  children: Children;
  idMaps: IdMapCache;
  groups: AccountGroups;
  seccomp: SeccompCache;
  trash: Trash;
  /** What endings could not do, for later. */
  leftovers: Leftovers;
  /** Runs a write once more, with the disk reserve given up, when there was no room for it. */
  withRoom<T>(write: () => Promise<T>): Promise<T>;
  disks: Disks;
  outputs: OutputLedger;
  watch: MachineWatch;
  emit(event: KeeperEvent): void;
  /** Tells the log what was cleaned up with trouble. */
  warn(message: string): void;
}

/** What must be known of a sandbox to clean up after it when the keeper that made it is gone. */
interface SandboxRecord {
  hostIdBase: number;
  /** Directory of overlayfs; removed at the end. */
  workDir: string;
  /** Absent from those of earlier releases, whose cgroup lies right below that of all. */
  cgroup?: string;
}

type EndReason = "exit" | "terminated" | "oom" | "lost" | "disk" | "memory";

/** Makes names in the private directory and the trash unique. */
let serial = 0;

/** One sandbox in the keeper: its main process, its execs, its end. */
export class Sandbox {
  readonly id: string;
  readonly paths: SandboxPaths;
  readonly #context: KeeperContext;
  readonly #processes = new Map<string, SandboxProcess>();
  readonly #starting = new Map<string, Promise<void>>();
  /** Aborts when the end begins: runtimes that still start something are killed. */
  readonly #over = new AbortController();
  readonly #disk: SandboxDisk;
  readonly #ended: ExecShelf;
  #restoredMain: RestoredExec | undefined;
  #record: SandboxRecord = { hostIdBase: 0, workDir: "" };
  #final: SandboxState | undefined;
  #ending: Promise<void> | undefined;
  #creating: Promise<void> = Promise.resolve();
  /** Until what an earlier keeper left of it is known. */
  #recovering: Promise<void> = Promise.resolve();
  #reason: EndReason = "exit";

  constructor(id: string, context: KeeperContext) {
    this.id = id;
    this.#context = context;
    this.paths = sandboxPaths(context.layout, id);
    this.#disk = new SandboxDisk(context.disks, context.warn);
    this.#ended = new ExecShelf({
      retentionMs: () => context.outputs.limits.execRetentionMs,
      forget: (execId) => this.#forgetExec(execId),
    });
  }

  get cgroup(): string {
    return this.#record.cgroup ?? this.#context.groups.find(this.id);
  }

  get state(): SandboxState {
    return this.#final ?? { running: this.#processes.has(MAIN) && this.#ending === undefined };
  }

  create(request: CreateRequest): Promise<void> {
    this.#creating = this.#create(request);
    return this.#creating;
  }

  async #create(request: CreateRequest): Promise<void> {
    const { layout, oci, children, idMaps, groups, seccomp } = this.#context;
    let started: SandboxProcess | undefined;
    try {
      mkdirSync(this.paths.bundle, { recursive: true, mode: 0o700 });
      mkdirSync(this.paths.data, { recursive: true, mode: 0o700 });
      using maps = await idMaps.get(request.hostIdBase);
      await this.#disk.open(request, this.paths.data);
      const { sources, upperParent } = this.#disk;
      const { workDir } = assembleRootFs({ request, paths: this.paths, layout, maps, sources, ...upperParent });
      // What lies in a limited tree goes with it.
      this.#record = {
        hostIdBase: request.hostIdBase,
        workDir: request.upperDir === undefined ? "" : workDir,
        cgroup: groups.join(request.hostIdBase, this.id),
      };
      writeFileSync(this.paths.record, JSON.stringify(this.#record));
      const config = inCgroup(joinAccount(seccomp.apply(request.config), maps), this.cgroup);
      writeFileSync(this.paths.config, JSON.stringify(config));
      started = this.#makeMain();
      await started.start(oci, children);
      this.#processes.set(MAIN, started);
      seccomp.learn(request.config, this.id);
      this.#watch(request.hostIdBase);
      detachAll(this.paths, { keepRoot: true });
    } catch (error) {
      this.#context.watch.forget(this.id);
      started?.abandon();
      await this.#clear();
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
      onTrouble: this.#onTrouble,
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
    if (!this.state.running) throw this.#hasEnded();
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
    let made: SandboxProcess | undefined;
    try {
      const exec = new SandboxProcess({
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
          this.#ended.add(execId, exec);
          emit({ event: "exec", sandboxId: this.id, execId });
        },
        onTrouble: this.#onTrouble,
        stop: this.#over.signal,
      });
      made = exec;
      writeFileSync(processFile, JSON.stringify(request.process), { mode: 0o600 });
      await exec.start(oci, children);
      // One whose sandbox began to end meanwhile is nobody's: it ends with it.
      if (!this.state.running) throw this.#hasEnded();
      this.#processes.set(execId, exec);
    } catch (error) {
      made?.abandon();
      made?.forget();
      await this.#tidy([
        { name: `removing what exec ${execId} left`, run: () => rm(paths.dir, { recursive: true, force: true }) },
      ]);
      throw this.state.running ? error : this.#hasEnded();
    } finally {
      await this.#tidy([{ name: "removing a process file", run: () => rmSync(processFile, { force: true }) }]);
    }
  }

  #hasEnded(): KeeperError {
    return new KeeperError("not_running", `Sandbox ${this.id} has ended.`);
  }

  readonly #onTrouble = (error: unknown): void => {
    this.#context.warn(`Sandbox ${this.id}: a process's end was not without trouble: ${String(error)}`);
  };

  #consolePath(): string {
    return `${this.#context.layout.privateDir}/c${serial++}`;
  }

  process(execId: string): SandboxProcess | undefined {
    return this.#processes.get(execId);
  }

  async execSnapshot(execId: string): Promise<ExecSnapshot> {
    await this.#recovering;
    const living = this.#processes.get(execId);
    if (living !== undefined) return living.snapshot();
    if (isSafeName(execId)) {
      const kept = await readJson(execPaths(this.#context.layout, this.id, execId).exit);
      if (kept !== undefined) return kept as ExecSnapshot;
    }
    throw new KeeperError("not_found", `Sandbox ${this.id} has no exec ${execId}.`);
  }

  /** See `Spool.attach`. */
  async attach(execId: string, { fd, offset }: { fd: 1 | 2; offset: number }): Promise<number> {
    await this.#recovering;
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

  /** Ends the sandbox if it runs; resolves when it is over and all was tried to leave nothing of it but its spools. */
  async destroy(): Promise<void> {
    await this.#recovering;
    await this.#creating.catch(() => {
      // Whoever asked for it is told; what it left is cleared below.
    });
    if (this.#final === undefined) this.#end("terminated");
    // Also one that is known already may still be written down.
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
    await this.#tidy([{ name: "removing its directory", run: () => this.#context.trash.discard(this.paths.dir) }]);
  }

  /** The state, once it is known. */
  async known(): Promise<SandboxState> {
    await this.#recovering;
    return this.state;
  }

  /**
   * For a sandbox whose keeper died: no one can own its pipes again, so it ends. Questions about it wait until `turn`
   * has run it that far. Resolves when it is over.
   */
  async recover(turn: <T>(work: () => Promise<T>) => Promise<T>): Promise<void> {
    this.#recovering = turn(() => this.#recover());
    await this.#recovering;
    if (this.#final === undefined) await turn(async () => this.#ending);
    else if (this.#leftSomething()) await turn(() => this.#clear());
  }

  async #recover(): Promise<void> {
    await this.#tidy([
      {
        name: "reading whose it is",
        run: async () => {
          const record = await readJson(this.paths.record);
          if (record === undefined) return;
          this.#record = record as SandboxRecord;
          this.#context.groups.join(this.#record.hostIdBase, this.id);
        },
      },
      {
        name: "closing its execs",
        run: () =>
          closeLostExecs(this.#context.layout, this.id, {
            book: this.#book,
            found: (execId, exec) => {
              if (execId === MAIN) this.#restoredMain = exec;
              else this.#ended.add(execId, exec);
            },
          }),
      },
      {
        name: "reading how it ended",
        run: async () => {
          const final = await readJson(this.paths.final);
          if (final !== undefined) this.#final = final as SandboxState;
        },
      },
    ]);
    if (this.#final === undefined) this.#end("lost");
  }

  /** Whether one that has ended is still on the machine: its keeper died over its end. */
  #leftSomething(): boolean {
    const { layout } = this.#context;
    const places = [this.paths.data, this.paths.bundle, `${layout.ociState}/${this.id}`];
    return places.some((place) => existsSync(place)) || cgroupExists(this.cgroup);
  }

  #mainEnded(exit: ExitStatus): void {
    // An init passes the end of its child on as a code.
    const killed = "signal" in exit ? exit.signal === 9 : exit.code === 137;
    this.#end(killed && sawOom(this.cgroup) ? "oom" : "exit");
  }

  #watch(account: number): void {
    this.#context.watch.watch({
      id: this.id,
      account,
      cgroup: this.cgroup,
      use: () => this.#disk.use(),
      end: (reason) => this.#end(reason),
    });
  }

  #end(reason: EndReason): void {
    if (this.#ending !== undefined) return;
    this.#reason = reason;
    this.#ending = this.#finish();
  }

  /** Never rejects: whatever cannot be done is told and done later, and how it ended is always said. */
  async #finish(): Promise<void> {
    this.#over.abort();
    this.#context.watch.forget(this.id);
    await this.#clear();
    const exit = this.#processes.get(MAIN)?.exit ?? { signal: 9 };
    const final: SandboxState = { running: false, exit: { ...exit, reason: this.#reason } };
    this.#final = final;
    await this.#tidy([{ name: "writing down how it ended", run: () => this.#writeFinal(final) }]);
    this.#context.emit({ event: "sandbox", sandboxId: this.id });
  }

  async #writeFinal(final: SandboxState): Promise<void> {
    // A state directory that was removed is not made again: the keeper is about to leave.
    if (!existsSync(this.#context.layout.sandboxes)) return;
    mkdirSync(this.paths.dir, { recursive: true, mode: 0o700 });
    await this.#context.withRoom(() => writeJsonDurably(this.paths.final, final));
  }

  async #clear(): Promise<void> {
    const { children, oci, layout, trash, groups } = this.#context;
    await Promise.allSettled(this.#starting.values());
    await this.#tidy(
      clearingSteps({
        id: this.id,
        paths: this.paths,
        cgroup: this.cgroup,
        leaveAccount: () => groups.leave(this.#record.hostIdBase, this.id),
        layout,
        oci,
        children,
        trash,
        disk: this.#disk,
        workDir: this.#record.workDir,
        main: this.#processes.get(MAIN),
      }),
    );
  }

  async #tidy(steps: EndingStep[]): Promise<void> {
    await this.#context.leftovers.run(this.id, steps);
  }
}
