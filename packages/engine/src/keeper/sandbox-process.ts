import { closeSync, fchmodSync, fchownSync, mkdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { inBackground, startTimer, type Timer } from "@holdfast/std";
import type { ExitStatus } from "../runtime/types.ts";
import type { Children } from "./children.ts";
import { writeJsonDurably } from "./durable-file.ts";
import type { EndedExec } from "./exec-shelf.ts";
import { KeeperError } from "./keeper-error.ts";
import type { OciCommand, OciResult } from "./oci-command.ts";
import type { OutputBook } from "./output-ledger.ts";
import type { ExecPaths } from "./paths.ts";
import type { ExecSnapshot } from "./protocol.ts";
import { Spool } from "./spool.ts";
import { closedStdin, pipeSink, Stdin, terminalSink } from "./stdin.ts";
import { makePipe, setWindowSize } from "./syscalls.ts";
import { acceptTerminal } from "./terminal.ts";

const START_TIMEOUT_MS = 30_000;
/** After the exit, output is complete once the pipes are closed, or idle this long when a background process holds them. */
const DRAIN_IDLE_MS = 50;
const DRAIN_LIMIT_MS = 1_000;

export interface ProcessOptions {
  paths: ExecPaths;
  /** The runtime's arguments, without those for terminal, pid file and log. */
  command: (extra: string[]) => string[];
  hostIdBase: number;
  /** A short path for the socket over which the runtime sends a terminal. */
  consolePath: string;
  pty?: { rows: number; cols: number };
  stdout: "pipe" | "devnull";
  stderr: "pipe" | "devnull";
  /** Whether there is a standard input at all; a sandbox's main process has none. */
  stdin: boolean;
  timeoutMs?: number;
  /** Who counts its output on disk. */
  book: OutputBook;
  onOutput(): void;
  /** Called once, when exit and output are complete and written down. */
  onEnd(): void;
  /** Called once, when the process has ended, possibly before its output is complete. */
  onExit?(exit: ExitStatus): void;
  /** Told what went wrong at the process's end, which goes on all the same. */
  onTrouble(error: unknown): void;
  /** Cuts a start short when the sandbox ends meanwhile. */
  stop?: AbortSignal;
}

/** One process inside a sandbox, from its start by the runtime until its exit is written down. */
export class SandboxProcess implements EndedExec {
  pid = -1;
  exit: ExitStatus | undefined;
  /** True once `exit.json` is written. */
  ended = false;
  readonly #options: ProcessOptions;
  readonly #stdout: Spool;
  readonly #stderr: Spool;
  #stdin: Stdin = closedStdin();
  #children: Children | undefined;
  #exited = false;
  #timer: Timer | undefined;
  #terminalFd: number | undefined;
  #onSpoolChange: (() => void) | undefined;

  constructor(options: ProcessOptions) {
    this.#options = options;
    mkdirSync(options.paths.dir, { recursive: true, mode: 0o700 });
    const changed = () => {
      options.onOutput();
      this.#onSpoolChange?.();
    };
    const { book, paths } = options;
    this.#stdout = new Spool({ dir: paths.dir, name: "stdout", book, onChange: changed });
    this.#stderr = new Spool({ dir: paths.dir, name: "stderr", book, onChange: changed });
  }

  /** Resolves when the process runs; after a failure call `abandon`. */
  async start(oci: OciCommand, children: Children): Promise<void> {
    const { paths } = this.#options;
    this.#children = children;
    const started = this.#options.pty ? await this.#startOnTerminal(oci) : await this.#startOnPipes(oci);
    if (started.code !== 0) {
      children.sweep();
      throw new KeeperError("exec_failed", started.message || `the runtime ended with code ${started.code}`);
    }
    this.pid = Number(readFileSync(paths.pid, "utf8"));
    if (this.#options.timeoutMs !== undefined) {
      this.#timer = startTimer(this.#options.timeoutMs, () => this.#killAll());
    }
    children.track(this.pid, (exit) => inBackground(this.#finish(exit), this.#options.onTrouble));
  }

  snapshot(): ExecSnapshot {
    return {
      ...(this.ended && this.exit ? { exit: this.exit } : {}),
      stdinBytes: this.#stdin.bytes,
      stdinClosed: this.#stdin.closed,
      stdoutBytes: this.#stdout.bytes,
      stderrBytes: this.#stderr.bytes,
      stdoutStart: this.#stdout.start,
      stderrStart: this.#stderr.start,
      lostBytes: this.#stdout.lostBytes + this.#stderr.lostBytes,
    };
  }

  async writeStdin(offset: number, data: Uint8Array, eof: boolean): Promise<void> {
    // A client whose acknowledgement was lost sends again what was taken: that is no error, even now.
    if (this.#exited && offset + data.length > this.#stdin.bytes) {
      throw new KeeperError("not_running", "The process has ended; it takes no more input.");
    }
    await this.#stdin.accept(offset, data, eof);
  }

  kill(signal: number): void {
    if (this.#exited) throw new KeeperError("not_running", "The process has ended already.");
    // Until we reap it, the pid cannot name another process.
    process.kill(this.pid, signal);
  }

  resize(size: { rows: number; cols: number }): void {
    if (this.#terminalFd === undefined) throw new KeeperError("invalid", "The process has no terminal.");
    if (!this.#exited) setWindowSize(this.#terminalFd, size);
  }

  /** After a start that failed, or that nobody wants any more: kills what may run and closes all. Never fails. */
  abandon(): void {
    const pid = this.pid > 0 ? this.pid : this.#reportedPid();
    if (pid !== undefined && !this.#exited) {
      sendKill(pid);
      // Somebody has to take its exit status.
      if (this.pid <= 0) this.#children?.track(pid, () => undefined);
    }
    this.dispose();
  }

  /** Of a process that the runtime started and of which we know nothing else. */
  #reportedPid(): number | undefined {
    try {
      const pid = Number(readFileSync(this.#options.paths.pid, "utf8"));
      return Number.isInteger(pid) && pid > 1 ? pid : undefined;
    } catch {
      // The runtime never got as far.
      return undefined;
    }
  }

  /** See `Spool.attach`. */
  attach(fd: 1 | 2, offset: number): number {
    return (fd === 1 ? this.#stdout : this.#stderr).attach(offset);
  }

  acknowledge(fd: 1 | 2, below: number): void {
    (fd === 1 ? this.#stdout : this.#stderr).acknowledge(below);
  }

  /** Its output counts no longer. What a background process still writes is read and dropped: it must not be killed. */
  forget(): void {
    this.#stdout.forget();
    this.#stderr.forget();
  }

  /** Closes what a background process may still hold. */
  dispose(): void {
    this.#timer?.[Symbol.dispose]();
    for (const part of [this.#stdin, this.#stdout, this.#stderr]) this.#try(() => part.destroy());
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onTrouble(error);
    }
  }

  async #startOnPipes(oci: OciCommand): Promise<OciResult> {
    const { paths, stdin, stdout, stderr, command, stop } = this.#options;
    // What is not given away to a spool or to stdin yet.
    const owned = new Set<number>();
    const open = () => {
      const pipe = makePipe();
      owned.add(pipe.read).add(pipe.write);
      this.#openToInside(pipe.read);
      return pipe;
    };
    const give = (fd: number) => {
      owned.delete(fd);
      return fd;
    };
    try {
      const input = stdin ? open() : undefined;
      const out = stdout === "pipe" ? open() : undefined;
      const err = stderr === "pipe" ? open() : undefined;
      if (input) this.#stdin = new Stdin(pipeSink(give(input.write)));
      this.#followPipe(this.#stdout, out && give(out.read));
      this.#followPipe(this.#stderr, err && give(err.read));
      return await oci.run({
        args: command(["--pid-file", paths.pid]),
        log: paths.log,
        stdio: [input?.read, out?.write, err?.write].map((fd) => fd ?? "ignore"),
        timeoutMs: START_TIMEOUT_MS,
        ...(stop ? { stop } : {}),
      });
    } finally {
      for (const fd of owned) this.#try(() => closeSync(fd));
    }
  }

  async #startOnTerminal(oci: OciCommand): Promise<OciResult> {
    const { paths, command, pty, stop } = this.#options;
    this.#stderr.finish();
    await using terminal = await acceptTerminal(this.#options.consolePath);
    const started = await oci.run({
      args: command(["--pid-file", paths.pid, "--console-socket", terminal.path]),
      log: paths.log,
      stdio: ["ignore", "ignore", "ignore"],
      timeoutMs: START_TIMEOUT_MS,
      ...(stop ? { stop } : {}),
    });
    if (started.code !== 0) return started;
    const master = await terminal.received;
    this.#terminalFd = master.fd;
    // First to somebody who closes it, whatever fails from here on.
    this.#stdout.followTerminal(master.stream, master.fd);
    if (pty) setWindowSize(master.fd, pty);
    this.#stdin = new Stdin(terminalSink(master.fd));
    return started;
  }

  /** The inner root must be able to open /dev/stdout, and other users inside to write to it. */
  #openToInside(fd: number): void {
    fchownSync(fd, this.#options.hostIdBase, this.#options.hostIdBase);
    fchmodSync(fd, 0o622);
  }

  #followPipe(spool: Spool, fd: number | undefined): void {
    if (fd === undefined) spool.finish();
    else spool.followPipe(fd);
  }

  #killAll(): void {
    if (this.#exited) return;
    const pgid = processGroupOf(this.pid);
    // The runtime gave the process a group of its own; never ours.
    if (pgid !== undefined && pgid > 1 && pgid !== process.pid) sendKill(-pgid);
    sendKill(this.pid);
  }

  async #finish(exit: ExitStatus): Promise<void> {
    this.#exited = true;
    this.exit = exit;
    this.#timer?.[Symbol.dispose]();
    this.#try(() => this.#options.onExit?.(exit));
    await this.#drained().catch(this.#options.onTrouble);
    this.#try(() => this.#stdin.destroy());
    this.#try(() => this.#stdout.finish());
    this.#try(() => this.#stderr.finish());
    const { stdinClosed, ...counts } = this.snapshot();
    try {
      await writeJsonDurably(this.#options.paths.exit, { ...counts, exit, stdinClosed: true });
    } catch {
      // Full disk, or forgotten meanwhile: the keeper still knows the exit, only a restart of it would not.
    }
    this.ended = true;
    this.#options.onEnd();
  }

  async #drained(): Promise<void> {
    const deadline = performance.now() + DRAIN_LIMIT_MS;
    while (!(this.#stdout.ended && this.#stderr.ended) && performance.now() < deadline) {
      const before = this.#stdout.bytes + this.#stderr.bytes;
      await this.#spoolChange(DRAIN_IDLE_MS);
      const idle = before === this.#stdout.bytes + this.#stderr.bytes;
      if (idle && !this.#somethingToRead()) return;
    }
  }

  #somethingToRead(): boolean {
    const open = [this.#stdout, this.#stderr].filter((spool) => !spool.ended);
    return open.length > 0 && open.some((spool) => spool.pendingBytes() > 0);
  }

  async #spoolChange(timeoutMs: number): Promise<void> {
    const timeout = new AbortController();
    const changed = new Promise<void>((resolve) => {
      this.#onSpoolChange = resolve;
    });
    try {
      await Promise.race([changed, delay(timeoutMs, undefined, { signal: timeout.signal })]);
    } finally {
      this.#onSpoolChange = undefined;
      timeout.abort();
    }
  }
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

function processGroupOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const group = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]);
    return Number.isInteger(group) ? group : undefined;
  } catch {
    // Gone already: nothing to kill.
    return undefined;
  }
}
