import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { addCounts, DeadlineError, type FaultCounts, faultExitCode, readCounts, withDeadline } from "@holdfast/std";
import { CliError } from "../command.ts";
import { childEnv } from "../config/env.ts";
import { LogFile } from "./log-file.ts";
import { noteProcess } from "./predecessors.ts";
import { writePrivateFile } from "./secrets.ts";

export interface ServiceSpec {
  name: "engine" | "gateway" | "s3" | "server";
  /** The package's process, an absolute path. */
  main: string;
  /** Called before every start: a later start may know more (the port that the first one chose). */
  options: (last: Ready | undefined) => Record<string, unknown>;
  readyTimeoutMs: number;
}

/** What a service prints when it is ready. */
export type Ready = Record<string, unknown> & { ready: true };

export interface ServiceHooks {
  /** Directory of the data dir for option files and logs; root-only. */
  runDir: string;
  /** `livedMs` is how long it had been ready. */
  onExit: (service: Service, ended: { reason: string; livedMs: number }) => void;
  /** The service counted another fault. */
  onFaults: (service: Service) => void;
}

/** One service process. Its options travel in a root-only file, its log goes to `logs/<name>.log`. */
export class Service {
  readonly spec: ServiceSpec;
  readonly #hooks: ServiceHooks;
  #child: ChildProcess | undefined;
  #readyChild: ChildProcess | undefined;
  #tail: string[] = [];
  #stopping = false;
  /** Of its processes that have ended. */
  #faultsBefore: FaultCounts = {};
  #faultsNow: FaultCounts = {};
  /** Whose counts they are. */
  #counted: ChildProcess | undefined;
  /** How often it ended by an exception that nobody caught. */
  crashes = 0;
  ready: Ready | undefined;

  constructor(spec: ServiceSpec, hooks: ServiceHooks) {
    this.spec = spec;
    this.#hooks = hooks;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Its present process said that it is ready. */
  get isReady(): boolean {
    return this.#child !== undefined && this.#readyChild === this.#child;
  }

  /** Unhandled rejections since we began, by process: the service's own and those that it hears of. */
  get faults(): FaultCounts {
    return addCounts({ [this.spec.name]: 0 }, this.#faultsBefore, this.#faultsNow);
  }

  /** The part of them that its present process does not know. */
  get faultsBefore(): FaultCounts {
    const known = this.#counted === this.#child ? {} : this.#faultsNow;
    return addCounts(this.#faultsBefore, known);
  }

  /** One line on its stdin. */
  tell(line: object): void {
    this.#child?.stdin?.write(`${JSON.stringify(line)}\n`);
  }

  get logFile(): string {
    return join(this.#hooks.runDir, "logs", `${this.spec.name}.log`);
  }

  /**
   * The first start: on the ports of the last time where they are still free. Throws CliError.
   */
  async startAgain(last: Ready | undefined, signal?: AbortSignal): Promise<Ready> {
    if (last === undefined) return await this.start(signal);
    this.ready = last;
    try {
      return await this.start(signal);
    } catch {
      // Perhaps somebody else listens there by now; what else is wrong is said by the start without them.
      this.ready = undefined;
      signal?.throwIfAborted();
      return await this.start(signal);
    }
  }

  /** Resolves when the service says that it is ready. Throws CliError with its reason otherwise. */
  async start(signal?: AbortSignal): Promise<Ready> {
    const optionsFile = join(this.#hooks.runDir, `${this.spec.name}.json`);
    mkdirSync(join(this.#hooks.runDir, "logs"), { recursive: true });
    writePrivateFile(optionsFile, JSON.stringify(this.spec.options(this.ready)));
    // In a process group of its own: a Ctrl-C in the terminal is for us to pass on, in order. Its stdin ends when we
    // die, however that happens.
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", this.spec.main, "--exit-with-parent"],
      {
        detached: true,
        // Half of a start is reading and compiling our own sources: a service that died is back in half the time.
        env: { NODE_COMPILE_CACHE: join(this.#hooks.runDir, "compile-cache"), ...childEnv(optionsFile) },
        stdio: ["pipe", "pipe", "pipe"],
      },
    );
    this.#child = child;
    if (child.pid !== undefined) noteProcess(this.#hooks.runDir, this.spec.name, child.pid);
    this.#stopping = false;
    // It may end before it has read what we tell it.
    child.stdin?.on("error", () => undefined);
    this.#keepLog(child);
    try {
      this.ready = await withDeadline(() => this.#firstLine(child), {
        what: `the start of the ${this.spec.name}`,
        timeoutMs: this.spec.readyTimeoutMs,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      this.#stopping = true;
      child.kill("SIGKILL");
      throw error instanceof DeadlineError ? this.#failure(error.message) : error;
    } finally {
      rmSync(optionsFile, { force: true });
    }
    const readyAt = performance.now();
    this.#readyChild = child;
    child.once("exit", (code, signalName) => {
      this.#child = undefined;
      if (code === faultExitCode) this.crashes += 1;
      const ended = { reason: signalName ?? `exit code ${code}`, livedMs: performance.now() - readyAt };
      if (!this.#stopping) this.#hooks.onExit(this, ended);
    });
    if (child.exitCode !== null || child.signalCode !== null) throw this.#failure("it ended right after its start");
    return this.ready;
  }

  /** Asks it to end; after `timeoutMs` it is killed. */
  async stop(signalName: "SIGINT" | "SIGTERM", timeoutMs: number): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    this.#stopping = true;
    const ended = once(child, "exit");
    child.kill(signalName);
    const killer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    await ended;
    clearTimeout(killer);
  }

  /** For tests that need it dead at once. */
  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  #keepLog(child: ChildProcess): void {
    if (child.stderr === null) return;
    const log = new LogFile(this.logFile);
    const lines = createInterface({ input: child.stderr });
    lines.on("line", (line) => {
      log.write(line);
      this.#tail.push(line);
      if (this.#tail.length > 15) this.#tail.shift();
    });
    lines.on("close", () => log[Symbol.dispose]());
  }

  #firstLine(child: ChildProcess): Promise<Ready> {
    return new Promise((resolve, reject) => {
      child.on("error", (error) => reject(this.#failure(error.message)));
      child.once("exit", (code, signalName) =>
        reject(this.#failure(`it ended with ${signalName ?? `exit code ${code}`}`)),
      );
      if (child.stdout === null) return;
      const lines = createInterface({ input: child.stdout });
      lines.on("line", (line) => {
        // A fault can come before it is ready, and after.
        const counts = readCounts(line);
        if (counts !== undefined) return this.#noteFaults(child, counts);
        const said = parseReady(line);
        if (said === undefined) reject(this.#failure(`it said: ${line.slice(0, 200)}`));
        else if (said instanceof CliError) reject(said);
        else resolve(said);
      });
    });
  }

  #noteFaults(child: ChildProcess, counts: FaultCounts): void {
    if (child !== this.#counted) {
      this.#faultsBefore = addCounts(this.#faultsBefore, this.#faultsNow);
      this.#counted = child;
    }
    this.#faultsNow = counts;
    this.#hooks.onFaults(this);
  }

  #failure(why: string): CliError {
    const tail = this.#tail.length > 0 ? `\n${this.#tail.join("\n")}` : "";
    return new CliError(`The ${this.spec.name} did not start`, `${why}${tail}`, `Its log is ${this.logFile}.`);
  }
}

function parseReady(line: string): Ready | CliError | undefined {
  try {
    const said = JSON.parse(line) as { ready?: unknown; error?: { what?: string; why?: string; todo?: string } };
    if (said.ready === true) return said as Ready;
    const { what = "A service did not start", why = "", todo = "" } = said.error ?? {};
    return new CliError(what, why, todo);
  } catch {
    // Not the line that was agreed on: the caller shows it as it is.
    return undefined;
  }
}
