import type { MapperState } from "@holdfast/claude";
import type { GuestMessage } from "@holdfast/guest";
import { sleep, waitFor } from "@holdfast/std";
import { fenceGuest } from "../machines/guest-fence.ts";
import {
  GuestAbsentError,
  GuestError,
  type GuestLink,
  LinkLostError,
  type ProcessListener,
} from "../sandboxes/guest-link.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { guestForgot } from "./failure.ts";
import { Ingest } from "./ingest.ts";
import type { ClaudeProcessDeps, ClaudeProcessInput } from "./process-owner.ts";

/** A guest that dies again and again is not brought back for ever. */
const maxRevivals = 5;

/** One process of Claude Code in a sandbox: its output becomes events, each line exactly once. */
export class ClaudeProcess implements ProcessListener {
  readonly processId: string;
  readonly sandbox: LiveSandbox;
  readonly #input: ClaudeProcessInput;
  readonly #deps: ClaudeProcessDeps;
  readonly #ingest: Ingest;
  readonly #stop = new AbortController();
  readonly #stopped: AbortSignal;
  readonly #exited = Promise.withResolvers<void>();
  #link: GuestLink | undefined;
  #revivals = 0;
  /** False as soon as nothing can be said to it any more. */
  alive = true;

  constructor(input: ClaudeProcessInput, deps: ClaudeProcessDeps) {
    this.processId = input.processId;
    this.sandbox = input.sandbox;
    this.#input = input;
    this.#deps = deps;
    this.#stopped = AbortSignal.any([this.#stop.signal, input.lifetime]);
    this.#ingest = new Ingest(
      {
        ...input,
        stopped: this.#stopped,
        onCommitted: (offsets) => this.#tellCommitted(offsets),
        onExited: () => this.#onExited(),
        onFailed: (error) => this.#onFailed(error),
      },
      deps,
    );
  }

  get mapper(): MapperState {
    return this.#ingest.mapper;
  }

  /** Reads until the process has ended, over as many connections as it takes. Never rejects: the owner is told. */
  async follow(): Promise<void> {
    const signal = AbortSignal.any([this.#stopped, this.sandbox.gone]);
    try {
      while (await this.#followOnce(signal));
    } catch (error) {
      if (this.#stopped.aborted) return;
      this.alive = false;
      // What has come in is worth keeping, whatever became of the rest.
      await this.#ingest.settled;
      if (this.#stopped.aborted || this.#ingest.ending) return;
      this.#exited.resolve();
      this.#input.owner.onLost(error);
    }
  }

  /** One line for its stdin. The same `lineId` is written once only. */
  async send(line: string, lineId: string, signal: AbortSignal): Promise<void> {
    const { processId, generation } = this.#input;
    const body = new TextEncoder().encode(line);
    await this.#call((link) => link.call({ type: "stdin", processId, generation, lineId }, { body, signal }), signal);
  }

  async signal(name: "SIGINT" | "SIGKILL", signal: AbortSignal): Promise<void> {
    const { processId, generation } = this.#input;
    await this.#call(
      (link) => link.call({ type: "signal", processId, generation, signal: name, group: true }, { signal }),
      signal,
    );
  }

  /** What it has started since then and is no longer below it is ended; gives how many that were. */
  async endOrphans(since: { lineId: string } | { ms: number }, signal: AbortSignal): Promise<number> {
    const { processId, generation } = this.#input;
    const call = { type: "end_orphans", processId, generation, since } as const;
    return (await this.#call((link) => link.call(call, { signal }), signal)).ended ?? 0;
  }

  /** It finishes what it does and ends. */
  async closeStdin(signal: AbortSignal): Promise<void> {
    const { processId, generation } = this.#input;
    await this.#call((link) => link.call({ type: "close_stdin", processId, generation }, { signal }), signal);
  }

  /** Resolves when its exit was committed, or nothing more can be had of it, or it was let go. */
  get exited(): Promise<void> {
    return this.#exited.promise;
  }

  /** Lets go of it; it goes on. */
  release(): void {
    this.alive = false;
    this.#stop.abort();
    this.#exited.resolve();
  }

  stdout(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#ingest.stdout(offset, bytes);
  }

  async stderr(offset: number, bytes: Uint8Array): Promise<void> {
    this.#ingest.stderr(offset, bytes);
  }

  async spoolFailed(message: string): Promise<void> {
    this.#ingest.spoolFailed(message);
  }

  async exit(message: Extract<GuestMessage, { type: "exit" }>): Promise<void> {
    this.alive = false;
    this.#ingest.exit(message);
  }

  /** False when the process has ended; true when the connection broke and another may be tried. */
  async #followOnce(signal: AbortSignal): Promise<boolean> {
    const { processId, sessionId, generation } = this.#input;
    const link = await this.#connect(signal);
    if (link === undefined) return true;
    const unlisten = link.listen(processId, this);
    this.#link = link;
    try {
      await link.call({ type: "fence", sessionId, generation }, { signal });
      await this.#subscribe(link, signal);
      await waitFor(this.#exited.promise, AbortSignal.any([signal, link.lost]));
      return false;
    } catch (error) {
      if (!(error instanceof LinkLostError) || signal.aborted) throw error;
      // Its exit came before the connection went: nothing more can come.
      if (this.#ingest.ending) return await this.#exited.promise.then(() => false);
      this.#deps.logger.warn({ err: error, process: processId }, "the guest's connection broke; connecting again");
      await sleep(100, signal);
      return true;
    } finally {
      unlisten();
    }
  }

  /** From where we are; where the guest has that no more, or not yet, from where it can. That is said, not hidden. */
  async #subscribe(link: GuestLink, signal: AbortSignal): Promise<void> {
    const { processId } = this;
    for (let attempt = 1; ; attempt++) {
      const { stdout: stdoutOffset, stderr: stderrOffset } = this.#ingest.received;
      try {
        await link.call({ type: "subscribe", processId, stdoutOffset, stderrOffset }, { signal });
        return;
      } catch (error) {
        if (!(error instanceof GuestError)) throw error;
        if (error.code === "unknown_process") throw guestForgot(error);
        if (error.spools === undefined || attempt > 3) throw error;
        this.#deps.logger.error({ err: error, process: processId }, "output is missing");
        this.#ingest.goOnFrom(error.spools);
      }
    }
  }

  /**
   * Undefined when the guest had died, and Claude's pipes with it: it was brought back. It ends what is left of Claude
   * and gives what it has.
   */
  async #connect(signal: AbortSignal): Promise<GuestLink | undefined> {
    try {
      return await this.sandbox.link(signal);
    } catch (error) {
      if (!(error instanceof GuestAbsentError) || this.#revivals++ >= maxRevivals) throw error;
      const { processId, sessionId: id, generation } = this.#input;
      this.#deps.logger.error({ err: error, process: processId }, "the sandbox's guest is gone; bringing it back");
      await fenceGuest({ id, generation }, { sandbox: this.sandbox, signal });
      return undefined;
    }
  }

  /** A connection that breaks meanwhile is replaced as often as that takes: the guest does nothing twice. */
  async #call<T>(work: (link: GuestLink) => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let absent = 0; ; ) {
      try {
        return await work(await this.sandbox.link(signal));
      } catch (error) {
        if (!(error instanceof LinkLostError) || signal.aborted) throw error;
        // Whoever follows the process brings a guest that died back; that is waited for once.
        if (error instanceof GuestAbsentError && ++absent > 1) throw error;
        await sleep(100, AbortSignal.any([signal, this.sandbox.gone]));
      }
    }
  }

  #tellCommitted(offsets: { stdout: number; stderr: number }): void {
    const { stdout: stdoutOffset, stderr: stderrOffset } = offsets;
    const { generation } = this.#input;
    this.#link?.tell({ type: "committed", processId: this.processId, generation, stdoutOffset, stderrOffset });
  }

  #onExited(): void {
    this.#link?.tell({ type: "remove", processId: this.processId, generation: this.#input.generation });
    this.#exited.resolve();
  }

  #onFailed(error: unknown): void {
    this.release();
    this.#input.owner.onLost(error);
  }
}
