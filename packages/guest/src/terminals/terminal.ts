import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { noteBuffers } from "../daemon/memory.ts";
import { RequestError } from "../daemon/request-error.ts";
import { isDiskFull } from "../daemon/spool.ts";
import { messageOf } from "../failure.ts";
import type { GuestTerminal } from "../frames.ts";
import { Ring } from "./ring.ts";
import { createState, readState, type TerminalState, writeState } from "./state.ts";
import { hangUp, killAll, resizeTty, terminalProcesses } from "./tty.ts";

export interface TerminalOptions {
  readonly terminalId: string;
  readonly cwd: string;
  /** What stands in front of the terminal: whose rights it has. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly rows: number;
  readonly cols: number;
}

/** One that reads. While it is far behind, the terminal's programs wait, as over any line. */
export interface TerminalReader {
  readonly offset: number;
  tell(): void;
}

export const ringBytes = 2 * 1024 * 1024;
const mostBehindBytes = ringBytes / 2;
/** What may wait for a program that does not read. */
const maxQueuedInputBytes = 256 * 1024;
const readyMs = 20_000;
/** Between hanging up and killing. */
const hangUpMs = 2_000;
/** Says that the terminal is set up, and is the first thing that it prints. */
const readyByte = 0x1e;
/** `$0` is the terminal's folder. The code is written over room that is there, by whoever outlives this program. */
const leader = '"$@"; echo $? 1<>"$0/code"';

/**
 * A shell in a PTY, which `script` holds. Its pipes have names and are kept open by that side too, so that the death of
 * this program neither ends it nor loses what it prints meanwhile: the next one opens them again.
 */
export class Terminal {
  readonly terminalId: string;
  readonly folder: string;
  readonly ring: Ring;
  readonly readers = new Set<TerminalReader>();
  /** `code` is null when it was not seen. */
  exit: { code: number | null } | null = null;
  readonly #state: TerminalState;
  readonly #ended = Promise.withResolvers<void>();
  #output: Socket | undefined;
  #input: Socket | undefined;
  #isEnding = false;
  #ready: ((early?: Uint8Array) => void) | undefined;

  private constructor(folder: string, terminalId: string, { ring, state }: { ring: Ring; state: TerminalState }) {
    this.folder = folder;
    this.terminalId = terminalId;
    this.ring = ring;
    this.#state = state;
  }

  /** Resolves when the shell is about to read. */
  static async open(folder: string, options: TerminalOptions): Promise<Terminal> {
    let terminal: Terminal | undefined;
    try {
      terminal = Terminal.#make(folder, options);
      await terminal.#start(options);
      return terminal;
    } catch (error) {
      terminal?.remove();
      rmSync(folder, { recursive: true, force: true });
      if (error instanceof RequestError) throw error;
      if (isDiskFull(error)) throw new RequestError("spool_full", `no room for a terminal: ${messageOf(error)}`);
      throw new RequestError("spawn_failed", `no terminal could be made: ${messageOf(error)}`);
    }
  }

  /** One that an earlier run of this program made: it lives, or has ended meanwhile. Undefined: it never came to be. */
  static restore(folder: string, terminalId: string): Terminal | undefined {
    const state = readState(join(folder, "state"));
    const processes = terminalProcesses(folder);
    if (state === undefined) {
      killAll(processes);
      return undefined;
    }
    const terminal = new Terminal(folder, terminalId, { ring: new Ring(join(folder, "ring")), state });
    if (processes.leader === undefined) terminal.#finish();
    else terminal.#connect();
    return terminal;
  }

  static #make(folder: string, { terminalId, rows, cols }: TerminalOptions): Terminal {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    execFileSync("mkfifo", ["-m", "600", join(folder, "in"), join(folder, "out")], { stdio: "ignore" });
    writeFileSync(join(folder, "code"), " ".repeat(16), { mode: 0o600 });
    const ring = Ring.create(join(folder, "ring"), ringBytes);
    const state: TerminalState = { createdMs: Date.now(), rows, cols, inputs: [] };
    createState(join(folder, "state"), state);
    return new Terminal(folder, terminalId, { ring, state });
  }

  get isRunning(): boolean {
    return this.exit === null;
  }

  get createdMs(): number {
    return this.#state.createdMs;
  }

  describe(): GuestTerminal {
    const { createdMs, rows, cols } = this.#state;
    const { start, end } = this.ring;
    const isBusy = this.isRunning && terminalProcesses(this.folder).others.length > 0;
    return { terminalId: this.terminalId, createdMs, rows, cols, start, end, exit: this.exit, isBusy };
  }

  /** Sees that a program which waits for its readers goes on when they have read. */
  flow(): void {
    const behind = Math.max(0, ...[...this.readers].map(({ offset }) => this.ring.end - offset));
    // Of one that is being ended nobody is waited for.
    if (behind > mostBehindBytes && !this.#isEnding) this.#output?.pause();
    else if (this.#output?.isPaused() === true) this.#output.resume();
  }

  /**
   * Bytes of one writer's input from its `offset` on; what of them was taken before is left out. Resolves when they are
   * in the terminal's pipe.
   */
  write(writer: string, offset: number, bytes: Uint8Array): Promise<void> {
    const input = this.#running();
    const known = this.#state.inputs.find(([name]) => name === writer)?.[1] ?? offset;
    if (offset > known) {
      throw new RequestError("bad_request", `input ${known} to ${offset} of ${writer} is missing`);
    }
    const fresh = Buffer.from(bytes.subarray(known - offset));
    if (fresh.length === 0) return Promise.resolve();
    if (input.writableLength + fresh.length > maxQueuedInputBytes) {
      throw new RequestError("bad_request", "the terminal's program does not read; too much waits for it already");
    }
    const others = this.#state.inputs.filter(([name]) => name !== writer);
    // First: what may have been typed is not typed again.
    this.#note({ inputs: [...others, [writer, known + fresh.length]] });
    return new Promise((resolve, reject) => {
      input.write(fresh, (error) => {
        if (error) reject(new RequestError("terminal_ended", `the terminal has ended: ${error.message}`));
        else resolve();
      });
    });
  }

  resize(size: { rows: number; cols: number }): void {
    this.#running();
    const { shell } = terminalProcesses(this.folder);
    if (shell === undefined || !resizeTty(shell, size)) throw ended();
    this.#note(size);
  }

  /** Hangs up, then kills. */
  async end(): Promise<void> {
    if (!this.isRunning) return;
    const processes = terminalProcesses(this.folder);
    hangUp(processes);
    const timer = setTimeout(() => killAll(processes), hangUpMs);
    this.#isEnding = true;
    this.flow();
    await this.#ended.promise;
    clearTimeout(timer);
    killAll(processes);
  }

  /** Gives all of it back to the disk. */
  remove(): void {
    if (this.isRunning) killAll(terminalProcesses(this.folder));
    this.#output?.destroy();
    this.#input?.destroy();
    this.ring.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #running(): Socket {
    if (this.#input === undefined || !this.isRunning) throw ended();
    return this.#input;
  }

  #note(changed: Partial<TerminalState>): void {
    Object.assign(this.#state, changed);
    writeState(join(this.folder, "state"), this.#state);
  }

  async #start({ argv, env, cwd, rows, cols }: TerminalOptions): Promise<void> {
    const ready = new Promise<Uint8Array | undefined>((resolve) => {
      this.#ready = resolve;
    });
    const setUp = `stty sane iutf8 rows ${rows} cols ${cols}; printf '\\036'`;
    const shell = "command -v bash >/dev/null && exec bash; exec sh -i";
    const command = [...argv, "script", "-qfec", `${setUp}; ${shell}`, "/dev/null"];
    // With PWD a shell keeps the name that it was started under: a workspace is a symlink.
    const child = this.#spawn(["-c", leader, this.folder, ...command], { cwd, env: { ...env, PWD: cwd } });
    const failed = new Promise<never>((_, reject) => child.once("error", reject));
    const timer = setTimeout(() => this.#ready?.(Buffer.from("it was not ready in time")), readyMs);
    const early = await Promise.race([ready, failed]).finally(() => clearTimeout(timer));
    if (early !== undefined) throw new Error(Buffer.from(early).toString().trim() || "it ended at once");
  }

  /** Both ends of both pipes are its own: it neither sees an end of input nor a broken pipe when this program dies. */
  #spawn(args: readonly string[], options: { cwd: string; env: Record<string, string> }): ChildProcess {
    const { O_RDWR } = constants;
    const held = [openSync(join(this.folder, "in"), O_RDWR), openSync(join(this.folder, "out"), O_RDWR)] as const;
    try {
      this.#connect();
      const child = spawn("sh", args, { ...options, stdio: [held[0], held[1], held[1]], detached: true });
      child.unref();
      return child;
    } finally {
      for (const descriptor of held) closeSync(descriptor);
    }
  }

  #connect(): void {
    const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;
    const out = openSync(join(this.folder, "out"), O_RDONLY | O_NONBLOCK);
    this.#output = new Socket({ fd: out, readable: true, writable: false });
    this.#input = new Socket({
      fd: openSync(join(this.folder, "in"), O_WRONLY | O_NONBLOCK),
      readable: false,
      writable: true,
    });
    this.#output.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#output.on("close", () => this.#finish());
    // The end follows from the output's; each writer is told of its own.
    for (const pipe of [this.#output, this.#input]) pipe.on("error", () => undefined);
  }

  #take(chunk: Buffer): void {
    noteBuffers(chunk.length);
    let own = chunk;
    if (this.#ready !== undefined) {
      const at = chunk.indexOf(readyByte);
      own = at === -1 ? chunk : Buffer.concat([chunk.subarray(0, at), chunk.subarray(at + 1)]);
      if (at !== -1) this.#settle();
    }
    this.ring.append(own);
    this.flow();
    this.#tell();
  }

  #settle(early?: Uint8Array): void {
    const ready = this.#ready;
    this.#ready = undefined;
    ready?.(early);
  }

  #finish(): void {
    if (this.exit !== null) return;
    const code = /^\d+/.exec(readFileSync(join(this.folder, "code"), "latin1"))?.[0];
    this.exit = { code: code === undefined ? null : Number(code) };
    this.#input?.destroy();
    if (this.#ready !== undefined) {
      const early = new Uint8Array(2_000);
      this.#settle(early.subarray(0, this.ring.read(this.ring.start, early)));
    }
    this.#tell();
    this.#ended.resolve();
  }

  #tell(): void {
    for (const reader of [...this.readers]) reader.tell();
  }
}

function ended(): RequestError {
  return new RequestError("terminal_ended", "the terminal has ended");
}
