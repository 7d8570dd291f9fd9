import { zstdCompressSync } from "node:zlib";
import {
  decodeLine,
  endProcess,
  LineSplitter,
  type MapperContext,
  type MapperState,
  type MapResult,
  mapLine,
  type RawLine,
} from "@holdfast/claude";
import type { GuestMessage } from "@holdfast/guest";
import type { NewEvent } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";
import type { Updateable } from "kysely";
import type { Logger } from "pino";
import type { Schema, Tx } from "../../ports/database.ts";
import { type EventLog, type LogTx, StaleGenerationError } from "../../ports/event-log.ts";
import { isDiskFull } from "../disk-full.ts";
import { type GuestLink, LinkLostError, type ProcessListener } from "../sandboxes/guest-link.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { waitFor } from "../sandboxes/sandboxes.ts";

export interface ProcessExit {
  code: number | null;
  signal: string | null;
  /** The last of what it printed there. */
  stderr: string;
}

/** What the session adds to what a line of its process says. */
export interface LineEffect {
  events: readonly NewEvent[];
  session?: Updateable<Schema["sessions"]>;
  /** What can only be known within the transaction; its events come after the others. */
  more?: (tx: Tx) => Promise<Pick<LineEffect, "events" | "session">>;
  /** Committed with it. */
  also?: (tx: Tx) => Promise<void>;
  /** After the commit. */
  after?: () => void;
}

export interface ProcessOwner {
  onLine(result: MapResult): LineEffect | undefined;
  onExit(exit: ProcessExit): LineEffect;
  /** Its output cannot be had any more: the sandbox ended, or the guest forgot it. */
  onLost(error: unknown): void;
}

export interface ClaudeProcessInput {
  processId: string;
  sessionId: string;
  generation: number;
  sandbox: LiveSandbox;
  mapper: MapperState;
  context: MapperContext;
  offsets: { stdout: number; stderr: number };
  owner: ProcessOwner;
  /** Aborts when it is to be let go of; it goes on. */
  lifetime: AbortSignal;
}

export interface ClaudeProcessDeps {
  log: EventLog;
  logger: Logger;
}

const stderrTailBytes = 8 * 1024;
/** So much may be committed before the guest is told that it may forget it. */
const tellEveryBytes = 1024 * 1024;

/** One process of Claude Code in a sandbox: its output becomes events, each line exactly once. */
export class ClaudeProcess implements ProcessListener {
  readonly processId: string;
  readonly sandbox: LiveSandbox;
  readonly #input: ClaudeProcessInput;
  readonly #deps: ClaudeProcessDeps;
  readonly #splitter: LineSplitter;
  readonly #stop = new AbortController();
  readonly #stopped: AbortSignal;
  readonly #exited = Promise.withResolvers<void>();
  /** Bytes that came in, whether a whole line or not. */
  #received: { stdout: number; stderr: number };
  #toldBytes: number;
  #lineStart: number;
  #mapper: MapperState;
  #raw: { offset: number; bytes: Uint8Array }[] = [];
  /** An attempt to store is under way, or its outcome was not learned. */
  #inDoubt = false;
  #stderr = "";
  #link: GuestLink | undefined;
  /** False as soon as nothing can be said to it any more. */
  alive = true;

  constructor(input: ClaudeProcessInput, deps: ClaudeProcessDeps) {
    this.processId = input.processId;
    this.sandbox = input.sandbox;
    this.#input = input;
    this.#deps = deps;
    this.#received = { ...input.offsets };
    this.#toldBytes = input.offsets.stdout;
    this.#lineStart = input.offsets.stdout;
    this.#mapper = input.mapper;
    this.#stopped = AbortSignal.any([this.#stop.signal, input.lifetime]);
    this.#splitter = new LineSplitter({ offset: input.offsets.stdout });
  }

  get mapper(): MapperState {
    return this.#mapper;
  }

  /** Reads until the process has ended, over as many connections as it takes. Never rejects: the owner is told. */
  async follow(): Promise<void> {
    const signal = AbortSignal.any([this.#stopped, this.sandbox.gone]);
    try {
      while (await this.#followOnce(signal));
    } catch (error) {
      if (this.#stopped.aborted) return;
      this.alive = false;
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

  /** It finishes what it does and ends. */
  async closeStdin(signal: AbortSignal): Promise<void> {
    const { processId, generation } = this.#input;
    await this.#call((link) => link.call({ type: "close_stdin", processId, generation }, { signal }), signal);
  }

  /** Resolves when its exit was committed, or it was let go. */
  get exited(): Promise<void> {
    return this.#exited.promise;
  }

  /** Lets go of it; it goes on. */
  release(): void {
    this.alive = false;
    this.#stop.abort();
    this.#exited.resolve();
  }

  async stdout(offset: number, bytes: Uint8Array): Promise<void> {
    const fresh = this.#fresh("stdout", offset, bytes);
    if (fresh === undefined) return;
    for (const line of this.#splitter.push(fresh)) await this.#line(line);
  }

  async stderr(offset: number, bytes: Uint8Array): Promise<void> {
    const fresh = this.#fresh("stderr", offset, bytes);
    if (fresh !== undefined) this.#stderr = (this.#stderr + new TextDecoder().decode(fresh)).slice(-stderrTailBytes);
  }

  async spoolFailed(message: string): Promise<void> {
    this.#stderr = `${this.#stderr}\n${message}`.slice(-stderrTailBytes);
  }

  async exit(message: Extract<GuestMessage, { type: "exit" }>): Promise<void> {
    this.alive = false;
    const last = this.#splitter.end();
    if (last !== undefined) await this.#line(last);
    const exit = { code: message.code, signal: message.signal, stderr: this.#stderr.trim() };
    const ended = endProcess(this.#mapper, this.#input.context);
    this.#mapper = ended.state;
    const effect = this.#input.owner.onExit(exit);
    const events = [...ended.events, ...effect.events];
    await this.#guard(() => this.#commit({ ...effect, events }, { exitCode: exit.code }));
    for (const draft of ended.drafts) this.#deps.log.publishDraft(this.#input.sessionId, draft);
    this.#deps.log.clearDrafts(this.#input.sessionId);
    effect.after?.();
    this.#link?.tell({ type: "remove", processId: this.processId, generation: this.#input.generation });
    this.#exited.resolve();
  }

  /** False when the process has ended; true when the connection broke and another may be tried. */
  async #followOnce(signal: AbortSignal): Promise<boolean> {
    const { processId, sessionId, generation } = this.#input;
    const link = await this.sandbox.link(signal);
    const unlisten = link.listen(processId, this);
    this.#link = link;
    try {
      await link.call({ type: "fence", sessionId, generation }, { signal });
      const { stdout: stdoutOffset, stderr: stderrOffset } = this.#received;
      await link.call({ type: "subscribe", processId, stdoutOffset, stderrOffset }, { signal });
      await waitFor(this.#exited.promise, AbortSignal.any([signal, link.lost]));
      return false;
    } catch (error) {
      if (!(error instanceof LinkLostError) || signal.aborted) throw error;
      this.#deps.logger.warn({ err: error, process: processId }, "the guest's connection broke; connecting again");
      await sleep(100, signal);
      return true;
    } finally {
      unlisten();
    }
  }

  /** A connection that breaks meanwhile is replaced once: the guest does nothing twice. */
  async #call(work: (link: GuestLink) => Promise<unknown>, signal: AbortSignal): Promise<void> {
    try {
      await work(await this.sandbox.link(signal));
    } catch (error) {
      if (!(error instanceof LinkLostError)) throw error;
      await work(await this.sandbox.link(signal));
    }
  }

  /** The part that was not seen yet. A gap cannot be mended: then this connection is given up. */
  #fresh(stream: "stdout" | "stderr", offset: number, bytes: Uint8Array): Uint8Array | undefined {
    const seen = this.#received[stream];
    if (offset > seen) throw new Error(`${offset - seen} bytes of ${stream} are missing at ${seen}`);
    if (offset + bytes.length <= seen) return undefined;
    this.#received[stream] = offset + bytes.length;
    return bytes.subarray(seen - offset);
  }

  async #line(line: RawLine): Promise<void> {
    const { sessionId, context, owner } = this.#input;
    const decoded = decodeLine(line.bytes);
    const result = mapLine(this.#mapper, decoded, context);
    const isDraft = decoded.kind === "json" && decoded.value.type === "stream_event";
    if (!isDraft) this.#raw.push({ offset: this.#lineStart, bytes: line.bytes });
    const effect = owner.onLine(result);
    this.#mapper = result.state;
    this.#lineStart = line.endOffset;
    const events = effect?.events ?? result.events;
    if (effect !== undefined || events.length > 0) await this.#guard(() => this.#commit({ ...effect, events }));
    for (const draft of result.drafts) this.#deps.log.publishDraft(sessionId, draft);
    effect?.after?.();
  }

  async #commit(effect: LineEffect, ended?: { exitCode: number | null }): Promise<void> {
    const { sessionId, generation } = this.#input;
    const raw = this.#raw;
    const offsets = { stdout: this.#lineStart, stderr: this.#received.stderr };
    const work = async ({ tx, append, lock }: LogTx) => {
      await lock(sessionId, generation);
      if (this.#inDoubt && (await this.#isStored(tx, offsets.stdout, ended !== undefined))) return;
      this.#inDoubt = true;
      const more = await effect.more?.(tx);
      const session = { ...effect.session, ...more?.session, mapper_json: JSON.stringify(this.#mapper) };
      await append({ sessionId, generation, events: [...effect.events, ...(more?.events ?? [])], session });
      for (const { offset, bytes } of raw) {
        await tx
          .insertInto("raw_lines")
          .values({ session_id: sessionId, process_id: this.processId, offset, bytes: zstdCompressSync(bytes) })
          .execute();
      }
      await tx
        .updateTable("processes")
        .set({
          stdout_offset: offsets.stdout,
          stderr_offset: offsets.stderr,
          ...(ended === undefined ? {} : { state: "ended" as const, exit_code: ended.exitCode }),
        })
        .where("id", "=", this.processId)
        .execute();
      await effect.also?.(tx);
    };
    await this.#deps.log.transact(work, { patience: this.#stopped });
    this.#inDoubt = false;
    this.#raw = [];
    if (offsets.stdout - this.#toldBytes < tellEveryBytes) return;
    this.#toldBytes = offsets.stdout;
    const { stdout: stdoutOffset, stderr: stderrOffset } = offsets;
    this.#link?.tell({ type: "committed", processId: this.processId, generation, stdoutOffset, stderrOffset });
  }

  /** An attempt whose COMMIT was not answered may have been stored all the same. */
  async #isStored(tx: Tx, stdoutOffset: number, ended: boolean): Promise<boolean> {
    const row = await tx
      .selectFrom("processes")
      .select(["stdout_offset", "state"])
      .where("id", "=", this.processId)
      .executeTakeFirst();
    if (ended) return row?.state === "ended";
    return row !== undefined && row.stdout_offset >= stdoutOffset;
  }

  /**
   * A full disk, and a database that is away, are waited for: the guest keeps the output meanwhile. Who has lost the lease gives up, and so does who
   * cannot store for another reason.
   */
  async #guard(work: () => Promise<void>): Promise<void> {
    for (let attempt = 1; !this.#stopped.aborted; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof StaleGenerationError || (attempt >= 5 && !isDiskFull(error))) {
          this.release();
          this.#input.owner.onLost(error);
          return;
        }
        if (this.#stopped.aborted) return;
        this.#deps.logger.error({ err: error, session: this.#input.sessionId }, "cannot store; trying again");
        // Aborts when the process is let go: the loop ends then.
        await sleep(Math.min(5_000, 100 * 2 ** attempt), this.#stopped).catch(() => undefined);
      }
    }
  }
}
