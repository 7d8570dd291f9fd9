import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../failure.ts";
import type { GuestProcess } from "../frames.ts";
import { commandOf } from "./groups.ts";
import { noteBuffers } from "./memory.ts";
import {
  endOrphans,
  isGroupInUse,
  type Mark,
  markerName,
  readProcess,
  sendSignal,
  signalMembers,
  signalTarget,
  ticksNow,
} from "./process-table.ts";
import {
  appendLineId,
  createRecord,
  type ExitRecord,
  type ProcessRecord,
  type StoredProcess,
  updateRecord,
  writeExit,
} from "./record.ts";
import { RequestError } from "./request-error.ts";
import { isDiskFull, Spool } from "./spool.ts";

export interface StartOptions {
  readonly processId: string;
  readonly sessionId: string;
  readonly cwd: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly spoolLimitBytes: number;
}

type OutputName = "stdout" | "stderr";

/** How long output of a process that has ended is waited for, when something it left behind holds its pipes. */
const drainMs = 2_000;
/** An end so soon after a signal to all of it is the signal's doing, whatever its code says. */
const signalledMs = 5_000;
/** How long a process that was stopped for a full disk may take before it is killed. */
const stopGraceMs = 5_000;
/** Output that nobody has committed may take so much of the disk; then the process has to wait. */
export const defaultSpoolLimitBytes = 256 * 1024 * 1024;
/** What may wait for a process that does not read its input. */
const maxQueuedInputBytes = 32 * 1024 * 1024;

/** One Claude process of a session: its pipes while it runs, its spool until that is removed. */
export class HostedProcess {
  readonly folder: string;
  readonly stdout: Spool;
  readonly stderr: Spool;
  /** Told of new output and of the end. */
  readonly watchers = new Set<() => void>();
  exit: ExitRecord | null;
  spoolFailed: string | null;
  #record: ProcessRecord;
  #child: ChildProcessWithoutNullStreams | undefined;
  #status: { code: number | null; signal: string | null } | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #killTimer: NodeJS.Timeout | undefined;
  /** By id: its answer, and when it was written. */
  readonly #lines = new Map<string, { written: Promise<void>; ticks: number }>();
  readonly #limitBytes: number;
  readonly #committed = { stdout: 0, stderr: 0 };
  #isPaused = false;
  /** When all of it was signalled last. */
  #signalledMs = Number.NEGATIVE_INFINITY;

  private constructor(folder: string, record: ProcessRecord, exit: ExitRecord | null, limitBytes = 0) {
    this.folder = folder;
    this.#limitBytes = limitBytes;
    this.#record = record;
    this.exit = exit;
    this.spoolFailed = exit?.spoolFailed ?? null;
    this.stdout = new Spool(folder, "stdout");
    this.stderr = new Spool(folder, "stderr");
  }

  static async start(folder: string, options: StartOptions): Promise<HostedProcess> {
    const { processId, sessionId, cwd, argv, env } = options;
    const started = commandOf(argv, { path: env.PATH, isTaken: isGroupInUse });
    const [command, ...args] = started.argv;
    if (command === undefined) throw new RequestError("bad_request", "argv is empty");
    checkFolder(cwd);
    const record: ProcessRecord = { processId, sessionId, pid: 0, startTime: "", gid: started.gid };
    let hosted: HostedProcess | undefined;
    try {
      // Before the process: should this program die now, the next one finds it by its marker.
      createRecord(folder, record);
      hosted = new HostedProcess(folder, record, null, options.spoolLimitBytes);
      // Node's pipes are socket pairs: /proc/PID/fd/N of one cannot be opened by another process.
      const child = spawn(command, args, {
        cwd,
        env: { ...env, [markerName]: processId },
        stdio: "pipe",
        detached: true,
      });
      await spawned(child);
      hosted.#adopt(child);
      return hosted;
    } catch (error) {
      hosted?.stdout.close();
      hosted?.stderr.close();
      rmSync(folder, { recursive: true, force: true });
      if (error instanceof RequestError) throw error;
      if (isDiskFull(error)) throw new RequestError("spool_full", `no room for the spool: ${messageOf(error)}`);
      throw new RequestError("spawn_failed", `${command} could not be started: ${messageOf(error)}`);
    }
  }

  /** A process that an earlier run of this program held. If it had not ended, its pipes are gone: it is ended now. */
  static restore(stored: StoredProcess): HostedProcess {
    const { folder, record, exit, lineIds } = stored;
    const lost: ExitRecord = { code: null, signal: "lost", spoolFailed: null };
    const hosted = new HostedProcess(folder, record, exit ?? lost);
    for (const lineId of lineIds) hosted.#lines.set(lineId, { written: Promise.resolve(), ticks: 0 });
    if (exit !== null) return hosted;
    const isSame = record.pid > 0 && readProcess(record.pid)?.startTime === record.startTime;
    const { pid } = record;
    signalMembers(isSame ? pid : undefined, hosted.#mark, "SIGKILL", pid);
    writeExit(folder, lost);
    return hosted;
  }

  get sessionId(): string {
    return this.#record.sessionId;
  }

  get processId(): string {
    return this.#record.processId;
  }

  get pid(): number {
    return this.#record.pid;
  }

  get isRunning(): boolean {
    return this.exit === null;
  }

  get #mark(): Mark {
    return { processId: this.processId, gid: this.#record.gid ?? null };
  }

  describe(generation: number): GuestProcess {
    const { exit } = this;
    return {
      processId: this.processId,
      sessionId: this.sessionId,
      generation,
      pid: this.pid,
      stdoutBytes: this.stdout.end,
      stderrBytes: this.stderr.end,
      exit: exit === null ? null : { code: exit.code, signal: exit.signal },
    };
  }

  /** Resolves when the line is in the pipe. The same `lineId` again shares the first one's answer. */
  writeLine(lineId: string, line: Uint8Array): Promise<void> {
    const known = this.#lines.get(lineId);
    if (known !== undefined) return known.written;
    const ticks = ticksNow();
    const stdin = this.#openStdin();
    if (line.length > maxQueuedInputBytes) {
      throw new RequestError(
        "bad_request",
        `a line of ${line.length} bytes is over the limit of ${maxQueuedInputBytes}`,
      );
    }
    if (stdin.writableLength + line.length > maxQueuedInputBytes) {
      throw new RequestError("bad_request", "the process does not read its input; too much waits for it already");
    }
    try {
      appendLineId(this.folder, lineId);
    } catch (error) {
      throw new RequestError("spool_full", `the line could not be noted: ${messageOf(error)}`);
    }
    const written = new Promise<void>((resolve, reject) => {
      stdin.write(Buffer.concat([line, Buffer.from("\n")]), (error) => {
        if (error) reject(new RequestError("stdin_closed", `the process has closed its input: ${error.message}`));
        else resolve();
      });
    });
    this.#lines.set(lineId, { written, ticks });
    return written;
  }

  /** End of input: the process finishes what it is doing and ends. Again is no error. */
  closeStdin(): void {
    this.#child?.stdin.end();
  }

  /** Gives how many processes were signalled. */
  signal(signal: NodeJS.Signals, group: boolean): number {
    if (group) {
      this.#signalledMs = performance.now();
      return signalMembers(this.isRunning ? this.pid : undefined, this.#mark, signal);
    }
    if (!this.isRunning || this.#status !== undefined) return 0;
    return sendSignal(signalTarget(this.pid), signal) ? 1 : 0;
  }

  /** See the request. Gives how many were ended. */
  endOrphans(since: { lineId: string } | { ms: number }): number {
    const ticks = "ms" in since ? ticksNow() - Math.floor(since.ms / 10) : this.#lines.get(since.lineId)?.ticks;
    // A line that was never written has started nothing.
    if (ticks === undefined) return 0;
    return endOrphans(this.isRunning ? this.pid : undefined, this.#mark, ticks);
  }

  /** What is below these offsets may leave the disk; a process that waits for room goes on. */
  committed(offsets: { stdout: number; stderr: number }): void {
    for (const name of ["stdout", "stderr"] as const) {
      this.#committed[name] = Math.max(this.#committed[name], Math.min(offsets[name], this[name].end));
      this[name].drop(offsets[name]);
    }
    this.#applyLimit();
  }

  /** Gives the spool back to the disk. */
  remove(): void {
    this.#close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #close(): void {
    clearTimeout(this.#drainTimer);
    clearTimeout(this.#killTimer);
    this.stdout.close();
    this.stderr.close();
  }

  #openStdin() {
    const stdin = this.#child?.stdin;
    if (stdin === undefined || !stdin.writable || !this.isRunning) {
      throw new RequestError("stdin_closed", "the process has ended or its input was closed");
    }
    return stdin;
  }

  #adopt(child: ChildProcessWithoutNullStreams): void {
    const pid = child.pid ?? 0;
    this.#child = child;
    // A child that is gone already has no start time; its marker serves then.
    this.#record = { ...this.#record, pid, startTime: readProcess(pid)?.startTime ?? "" };
    preferAsVictim(pid);
    child.stdout.on("data", (chunk: Buffer) => this.#take("stdout", chunk));
    child.stderr.on("data", (chunk: Buffer) => this.#take("stderr", chunk));
    // The writer of each line is told; a pipe that breaks between lines is no news beside the exit.
    child.stdin.on("error", () => undefined);
    child.stdout.on("error", () => undefined);
    child.stderr.on("error", () => undefined);
    child.on("error", () => undefined);
    child.once("exit", (code, signal) => {
      this.#status = { code, signal };
      // Claude ends its tools when it ends by itself; killed, it leaves them behind, and they would run on unseen. After
      // SIGINT it ends with 0, and what a shell has put into the background does not hear that signal.
      const isSignalled = performance.now() - this.#signalledMs < signalledMs;
      if (isSignalled || wasKilled(code, signal)) signalMembers(this.pid, this.#mark, "SIGKILL");
      this.#armDrain();
    });
    child.once("close", () => this.#finish());
    try {
      updateRecord(this.folder, this.#record);
    } catch (error) {
      this.#fail(error);
    }
  }

  #take(name: OutputName, chunk: Uint8Array): void {
    noteBuffers(chunk.length);
    if (this.spoolFailed !== null || this.exit !== null) return;
    try {
      this[name].append(chunk);
    } catch (error) {
      this.#fail(error);
    }
    this.#applyLimit();
    this.#tell();
  }

  /** Beyond the limit nothing is read: the pipe fills, and the process waits in its write. Nothing is lost. */
  #applyLimit(): void {
    const held = (name: OutputName) => this[name].end - this.#committed[name];
    const isOver = held("stdout") + held("stderr") >= this.#limitBytes;
    if (this.#child === undefined || isOver === this.#isPaused || this.exit !== null) return;
    this.#isPaused = isOver;
    for (const stream of [this.#child.stdout, this.#child.stderr]) isOver ? stream.pause() : stream.resume();
    if (!isOver && this.#status !== undefined) this.#armDrain();
  }

  /** What still lies in its pipes is read, unless something that it left behind holds them. */
  #armDrain(): void {
    clearTimeout(this.#drainTimer);
    this.#drainTimer = setTimeout(() => {
      if (!this.#isPaused) this.#finish();
    }, drainMs);
  }

  /** Output that cannot be kept must not go on unseen: the process is stopped, and the reason told. */
  #fail(error: unknown): void {
    if (this.spoolFailed !== null) return;
    const what = isDiskFull(error) ? "The sandbox's disk is full" : "The sandbox's disk failed";
    this.spoolFailed = `${what}: the output of Claude could not be kept (${messageOf(error)}), so it was stopped.`;
    signalMembers(this.pid, this.#mark, "SIGTERM");
    this.#killTimer = setTimeout(() => signalMembers(this.pid, this.#mark, "SIGKILL"), stopGraceMs);
  }

  #finish(): void {
    if (this.exit !== null || this.#status === undefined) return;
    clearTimeout(this.#drainTimer);
    const exit = { ...this.#status, spoolFailed: this.spoolFailed };
    this.#child?.stdout.destroy();
    this.#child?.stderr.destroy();
    this.#child?.stdin.destroy();
    this.exit = exit;
    try {
      writeExit(this.folder, exit);
    } catch (error) {
      // The end is still told to all who listen; only a restart of this program would call it lost.
      this.spoolFailed ??= `The end of the process could not be noted: ${messageOf(error)}`;
    }
    this.#tell();
  }

  #tell(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}

/** `runuser` tells its child's signal as 128 and more. */
function wasKilled(code: number | null, signal: string | null): boolean {
  return signal !== null || (code ?? 0) > 128;
}

function checkFolder(cwd: string): void {
  try {
    if (statSync(cwd).isDirectory()) return;
  } catch (error) {
    throw new RequestError("spawn_failed", `the working directory cannot be used: ${messageOf(error)}`);
  }
  throw new RequestError("spawn_failed", `the working directory ${cwd} is not a directory`);
}

function spawned(child: ChildProcessWithoutNullStreams): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
}

/** When memory runs out, the kernel should take Claude or its tools, and leave this program to tell of it. */
function preferAsVictim(pid: number): void {
  try {
    writeFileSync(join("/proc", String(pid), "oom_score_adj"), "300");
  } catch {
    // Not allowed in every sandbox, and the process may be gone: it was a wish.
  }
}
