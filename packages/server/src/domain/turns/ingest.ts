import { setImmediate as immediate } from "node:timers/promises";
import { endProcess, LineSplitter, type MapperState } from "@holdfast/claude";
import type { GuestMessage, SpoolRange } from "@holdfast/guest";
import type { DraftFrame } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";
import { StaleGenerationError } from "../../ports/event-log.ts";
import { isDiskFull } from "../disk-full.ts";
import { commitBatch, SpoolTakenError } from "./commit-batch.ts";
import { LineBatch, type SpooledLine } from "./line-batch.ts";
import type { ClaudeProcessDeps, ClaudeProcessInput } from "./process-owner.ts";
import { missingOutput, spoolFailed } from "./spool-trouble.ts";

type Exit = Extract<GuestMessage, { type: "exit" }>;

export interface IngestInput extends Omit<ClaudeProcessInput, "sandbox" | "lifetime"> {
  /** Nothing is begun any more once it aborts. */
  stopped: AbortSignal;
  /** Now and then: everything below is committed. */
  onCommitted: (offsets: { stdout: number; stderr: number }) => void;
  /** Its end is committed. */
  onExited: () => void;
  /** It cannot be stored; nothing more is tried. */
  onFailed: (error: unknown) => void;
}

type Item =
  | (SpooledLine & { kind: "line" })
  /** Output that can be had no more; the next line begins at `to`. */
  | { kind: "gap"; from: number; to: number }
  | { kind: "spool_failed"; message: string }
  | { kind: "exit"; message: Exit };

interface Spools {
  stdout: SpoolRange;
  stderr: SpoolRange;
}

const stderrTailBytes = 8 * 1024;
/** So much may be committed before the guest is told that it may forget it. */
const tellEveryBytes = 1024 * 1024;
/** What may wait here; the rest waits in the guest's spool. */
const maxQueuedBytes = 4 * 1024 * 1024;
/** Output that makes no event is committed after so much, too: the guest must be able to let go of it. */
const commitEveryBytes = 4 * 1024 * 1024;
/** Twice what the splitter keeps of a line. */
const endlessBytes = 128 * 1024 * 1024;

/**
 * What a process prints, on its way into the log: all that has arrived is committed as one, a lone line at once. A line
 * that changes what the session knows of itself ends its batch, so that the next line meets what it left.
 */
export class Ingest {
  readonly #input: IngestInput;
  readonly #deps: ClaudeProcessDeps;
  #splitter: LineSplitter;
  /** Bytes that came in, whether a whole line or not. */
  readonly received: { stdout: number; stderr: number };
  #queue: Item[] = [];
  #queuedBytes = 0;
  #roomy: PromiseWithResolvers<void> | undefined;
  #pump: Promise<void> | undefined;
  #lineStart: number;
  #mapper: MapperState;
  #committed: number;
  #told: number;
  #stderr = "";
  readonly #stderrText = new TextDecoder();
  /** The next line is the end of one whose beginning is lost. */
  #torn = false;
  /** Lines that made no event yet and wait for the next commit. */
  #pending: LineBatch;
  /** Its exit has come in. */
  ending = false;

  constructor(input: IngestInput, deps: ClaudeProcessDeps) {
    this.#input = input;
    this.#deps = deps;
    this.received = { ...input.offsets };
    this.#lineStart = input.offsets.stdout;
    this.#committed = input.offsets.stdout;
    this.#told = input.offsets.stdout;
    this.#mapper = input.mapper;
    this.#splitter = new LineSplitter({ offset: input.offsets.stdout });
    this.#pending = new LineBatch();
    input.stopped.addEventListener("abort", () => this.#roomy?.resolve(), { once: true });
  }

  get mapper(): MapperState {
    return this.#mapper;
  }

  /** Resolves when all that came in is committed, or given up. */
  get settled(): Promise<void> {
    return this.#pump ?? Promise.resolve();
  }

  /** Resolves when there is room for more. */
  async stdout(offset: number, bytes: Uint8Array): Promise<void> {
    const fresh = this.#fresh("stdout", offset, bytes);
    if (fresh === undefined) return;
    for (const line of this.#splitter.push(fresh)) this.#enqueueLine(line.bytes, line.endOffset);
    this.#forgetEndless();
    if (this.#queuedBytes <= maxQueuedBytes || this.#input.stopped.aborted) return;
    this.#roomy ??= Promise.withResolvers<void>();
    await this.#roomy.promise;
  }

  stderr(offset: number, bytes: Uint8Array): void {
    const fresh = this.#fresh("stderr", offset, bytes);
    // A character may come in two pieces.
    const text = fresh === undefined ? "" : this.#stderrText.decode(fresh, { stream: true });
    this.#stderr = (this.#stderr + text).slice(-stderrTailBytes);
  }

  spoolFailed(message: string): void {
    this.#enqueue({ kind: "spool_failed", message }, 0);
  }

  /** The guest holds this much: what lies between is missing, and said to be. */
  goOnFrom({ stdout, stderr }: Spools): void {
    const within = (offset: number, { start, end }: SpoolRange) => Math.min(end, Math.max(start, offset));
    this.received.stderr = within(this.received.stderr, stderr);
    const to = within(this.received.stdout, stdout);
    if (to === this.received.stdout) return;
    const from = this.#lineStart;
    this.received.stdout = to;
    this.#splitter = new LineSplitter({ offset: to });
    this.#lineStart = to;
    this.#torn = to > from;
    this.#enqueue({ kind: "gap", from, to }, 0);
  }

  exit(message: Exit): void {
    if (this.ending) return;
    this.ending = true;
    const last = this.#splitter.end();
    if (last !== undefined) this.#enqueueLine(last.bytes, last.endOffset);
    this.#enqueue({ kind: "exit", message }, 0);
  }

  #enqueueLine(bytes: Uint8Array, end: number): void {
    this.#enqueue({ kind: "line", bytes, start: this.#lineStart, end, isTorn: this.#torn }, bytes.length);
    this.#lineStart = end;
    this.#torn = false;
  }

  #enqueue(item: Item, bytes: number): void {
    this.#queue.push(item);
    this.#queuedBytes += bytes;
    this.#pump ??= this.#work().finally(() => {
      this.#pump = undefined;
    });
  }

  async #work(): Promise<void> {
    const { stopped, onFailed } = this.#input;
    try {
      while (this.#queue.length > 0 && !stopped.aborted) {
        // Whatever has arrived by now joins the batch, and others get their turn between two of them.
        await immediate();
        await this.#workOnce();
        if (this.#queuedBytes > maxQueuedBytes) continue;
        this.#roomy?.resolve();
        this.#roomy = undefined;
      }
    } catch (error) {
      if (!stopped.aborted) onFailed(error);
    }
  }

  async #workOnce(): Promise<void> {
    const batch = this.#pending;
    let taken = 0;
    let exit: Exit | undefined;
    while (taken < this.#queue.length && !batch.isFull) {
      const item = this.#queue[taken++];
      if (item?.kind === "exit") exit = item.message;
      if (item !== undefined && item.kind !== "line") this.#trouble(item, batch);
      if (item?.kind !== "line") break;
      this.#queuedBytes -= item.bytes.length;
      this.#mapper = batch.add(item, { mapper: this.#mapper, context: this.#input.context, owner: this.#input.owner });
      if (batch.isBarrier) break;
    }
    this.#queue.splice(0, taken);
    if (exit !== undefined) return await this.#end(exit, batch);
    if (batch.mustCommit || (batch.end ?? 0) - this.#committed >= commitEveryBytes) {
      this.#pending = new LineBatch();
      this.#show(batch.takeEndedDrafts());
      await this.#guard(batch);
    }
    this.#show(batch.takeDrafts());
    batch.after?.();
  }

  #show(drafts: readonly DraftFrame[]): void {
    for (const draft of drafts) this.#deps.log.publishDraft(this.#input.sessionId, draft);
  }

  #trouble(item: Exclude<Item, { kind: "line" }>, batch: LineBatch): void {
    const { sessionId, processId, context } = this.#input;
    if (item.kind === "spool_failed") batch.addEffect(spoolFailed(sessionId, processId, item.message));
    if (item.kind !== "gap") return;
    const ended = endProcess(this.#mapper, context);
    this.#mapper = ended.state;
    batch.addGap(ended, missingOutput(item.from, item.to), item.to);
  }

  /** A line beyond all reason is kept by its beginning; what comes of it is let go of, or the guest would wait for us. */
  #forgetEndless(): void {
    const { stdout, stderr } = this.received;
    if (stdout - this.#lineStart < endlessBytes || stdout - this.#told < endlessBytes) return;
    this.#told = stdout;
    this.#input.onCommitted({ stdout, stderr });
  }

  async #end(message: Exit, batch: LineBatch): Promise<void> {
    const { log } = this.#deps;
    const { sessionId, context, owner } = this.#input;
    const ended = endProcess(this.#mapper, context);
    const exit = { code: message.code, signal: message.signal, stderr: this.#stderr.trim() };
    // Its owner still finds what it did until now.
    const effect = owner.onExit(exit);
    this.#mapper = ended.state;
    batch.addExit(ended, effect);
    this.#show(batch.takeEndedDrafts());
    await this.#guard(batch, { exitCode: exit.code });
    this.#show(batch.takeDrafts());
    log.clearDrafts(sessionId);
    batch.after?.();
    this.#input.onExited();
  }

  /** The part that was not seen yet. A gap cannot be mended: then this connection is given up. */
  #fresh(stream: "stdout" | "stderr", offset: number, bytes: Uint8Array): Uint8Array | undefined {
    const seen = this.received[stream];
    if (offset > seen) throw new Error(`${offset - seen} bytes of ${stream} are missing at ${seen}`);
    if (offset + bytes.length <= seen) return undefined;
    this.received[stream] = offset + bytes.length;
    return bytes.subarray(seen - offset);
  }

  /**
   * A full disk, and a database that is away, are waited for: the guest keeps the output meanwhile. Who has lost the
   * lease gives up, and so does who cannot store for another reason.
   */
  async #guard(batch: LineBatch, ended?: { exitCode: number | null }): Promise<void> {
    const { stopped, sessionId } = this.#input;
    for (let attempt = 1; ; attempt++) {
      stopped.throwIfAborted();
      try {
        await this.#commit(batch, ended);
        return;
      } catch (error) {
        const lost = error instanceof StaleGenerationError || error instanceof SpoolTakenError;
        if (lost || (attempt >= 5 && !isDiskFull(error))) throw error;
        this.#deps.logger.error({ err: error, session: sessionId }, "cannot store; trying again");
        await sleep(Math.min(5_000, 100 * 2 ** attempt), stopped);
      }
    }
  }

  async #commit(batch: LineBatch, ended?: { exitCode: number | null }): Promise<void> {
    const { sessionId, generation, processId, stopped: patience } = this.#input;
    const stdout = batch.end ?? this.#committed;
    const offsets = { stdout, stderr: this.received.stderr };
    await commitBatch(this.#deps.log, {
      ...{ sessionId, generation, processId, batch, offsets, patience, mapper: this.#mapper, before: this.#committed },
      ...(ended === undefined ? {} : { ended }),
    });
    this.#committed = stdout;
    if (stdout - this.#told < tellEveryBytes) return;
    this.#told = stdout;
    this.#input.onCommitted(offsets);
  }
}
