import { join } from "node:path";
import type { GuestProcess } from "../frames.ts";
import type { RunPaths } from "../run-paths.ts";
import { Terminals } from "../terminals/terminals.ts";
import { Fences } from "./fences.ts";
import { HostedProcess, type StartOptions } from "./hosted-process.ts";
import { loadRecords } from "./record.ts";
import { RequestError } from "./request-error.ts";

/** One that is told when the generation that it wrote under is over. */
export interface Overtaken {
  overtake(sessionId: string, generation: number): void;
}

/** All processes of this sandbox, present and past, and who may write to them. */
export class Host implements AsyncDisposable {
  readonly fences: Fences;
  readonly terminals: Terminals;
  readonly connections = new Set<Overtaken>();
  readonly #spoolFolder: string;
  readonly #spoolLimitBytes: number;
  readonly #processes = new Map<string, HostedProcess>();
  readonly #starting = new Map<string, { sessionId: string; started: Promise<HostedProcess> }>();

  constructor(paths: RunPaths, options: { spoolLimitBytes: number }) {
    this.#spoolFolder = paths.spool;
    this.#spoolLimitBytes = options.spoolLimitBytes;
    this.terminals = new Terminals(paths.terminals);
    const hasProcess = (sessionId: string) =>
      [...this.#processes.values(), ...this.#starting.values()].some((each) => each.sessionId === sessionId);
    this.fences = new Fences(paths.fences, { hasProcess });
    for (const stored of loadRecords(paths.spool)) {
      this.#processes.set(stored.record.processId, HostedProcess.restore(stored));
    }
  }

  describe(): GuestProcess[] {
    return [...this.#processes.values()].map((hosted) => hosted.describe(this.fences.get(hosted.sessionId)));
  }

  get(processId: string): HostedProcess {
    const hosted = this.#processes.get(processId);
    if (hosted === undefined) throw new RequestError("unknown_process", `there is no process ${processId} here`);
    return hosted;
  }

  /** The process for a request that changes it; only the highest generation of its session may. */
  claim(processId: string, generation: number): HostedProcess {
    const hosted = this.get(processId);
    this.fence(hosted.sessionId, generation);
    return hosted;
  }

  fence(sessionId: string, generation: number): void {
    if (this.fences.admit(sessionId, generation)) return;
    const highest = this.fences.get(sessionId);
    const message = `generation ${generation} of ${sessionId} is over: it is at ${highest}`;
    throw new RequestError("stale_generation", message, { generation: highest });
  }

  /** The same `processId` again is answered with the process that there is. */
  async start(options: Omit<StartOptions, "spoolLimitBytes"> & { generation: number }): Promise<HostedProcess> {
    const { processId, sessionId } = options;
    this.fence(sessionId, options.generation);
    const known = this.#processes.get(processId) ?? (await this.#starting.get(processId)?.started);
    if (known !== undefined) return known;
    const running = [...this.#processes.values()].find((other) => other.sessionId === sessionId && other.isRunning);
    const isBusy = running !== undefined || [...this.#starting.values()].some((o) => o.sessionId === sessionId);
    if (isBusy) {
      throw new RequestError("already_running", `${sessionId} has a running process: ${running?.processId ?? "?"}`);
    }
    const started = HostedProcess.start(join(this.#spoolFolder, processId), {
      ...options,
      spoolLimitBytes: this.#spoolLimitBytes,
    });
    this.#starting.set(processId, { sessionId, started });
    try {
      const hosted = await started;
      this.#processes.set(processId, hosted);
      return hosted;
    } finally {
      this.#starting.delete(processId);
    }
  }

  remove(processId: string, generation: number): HostedProcess {
    const hosted = this.claim(processId, generation);
    if (hosted.isRunning) throw new RequestError("bad_request", `${processId} still runs; its spool stays`);
    this.#processes.delete(processId);
    hosted.remove();
    return hosted;
  }

  /** The sandbox is being stopped: end of input, TERM, then KILL of everything that was started. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = [...this.#processes.values()].filter((hosted) => hosted.isRunning);
    const terminals = this.terminals.endAll();
    for (const hosted of running) {
      hosted.closeStdin();
      hosted.signal("SIGTERM", true);
    }
    await Promise.all(running.map((hosted) => ended(hosted, 3_000)));
    for (const hosted of running) hosted.signal("SIGKILL", true);
    await Promise.all([...running.map((hosted) => ended(hosted, 1_000)), terminals]);
  }
}

function ended(hosted: HostedProcess, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      if (hosted.isRunning) return;
      finish();
    };
    const finish = () => {
      clearTimeout(timer);
      hosted.watchers.delete(done);
      resolve();
    };
    const timer = setTimeout(finish, timeoutMs);
    hosted.watchers.add(done);
    done();
  });
}
