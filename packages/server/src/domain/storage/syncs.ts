import type { NewEvent } from "@holdfast/protocol";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";
import { type EventLog, StaleGenerationError } from "../../ports/event-log.ts";
import type { ObjectStore, Storage } from "../../ports/object-store.ts";
import type { SandboxHandle } from "../../ports/sandbox-provider.ts";
import type { Leases } from "../leases/leases.ts";
import { LeaseLostError } from "../leases/membership.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { Step } from "../sessions/steps.ts";
import { accountPrefix } from "./account-prefix.ts";
import { awsSync } from "./aws-sync.ts";
import { type CopyListing, listCopy, listingName, writeListing, writeManifest } from "./manifest.ts";
import { type SyncLease, type SyncRow, SyncRows } from "./sync-rows.ts";
import { type TakeOverParts, takeOverSync } from "./sync-takeover.ts";

export interface SyncsDeps {
  db: Database;
  log: EventLog;
  clock: Clock;
  logger: Logger;
  storage: Storage;
  leases: Pick<Leases, "confirm">;
  /** The lease under which this server writes the session. */
  generation: (sessionId: string) => Promise<number>;
  /** The workspace's sandbox, if one runs. */
  sandbox: (workspaceId: string, signal: AbortSignal) => Promise<LiveSandbox | undefined>;
}

export interface SyncInput {
  sessionId: string;
  sandbox: LiveSandbox;
  generation: number;
}

/** A workspace, and the sandbox through which its files are reached. */
interface Source {
  accountId: string;
  workspaceId: string;
  /** Undefined: saved without a turn. */
  lease: SyncLease;
  handle: SandboxHandle;
  /** Aborts when its sandbox is gone, too. */
  signal: AbortSignal;
  /** Told of files as they are saved. */
  onProgress: (done: number) => void;
}

/** Saves workspaces to `docs/{accountId}/{unix seconds}/` after their turns: one at a time for each workspace. */
export class Syncs {
  readonly #deps: SyncsDeps;
  readonly #rows: SyncRows;
  readonly #tails = new Map<string, Promise<void>>();
  #closing = new AbortController();

  constructor(deps: SyncsDeps) {
    this.#deps = deps;
    this.#rows = new SyncRows(deps);
  }

  /** Without waiting for it: the session's log tells how it goes. */
  schedule(input: SyncInput): void {
    const use = input.sandbox.use();
    const work = () => this.#sync(input).finally(() => use[Symbol.dispose]());
    this.#enqueue(input.sandbox.workspace.id, input.sessionId, work);
  }

  /** Without a turn: the workspace of a sandbox that nobody knows here. Rejects when it could not be saved. */
  async saveNow(
    from: { accountId: string; workspaceId: string; handle: SandboxHandle },
    signal: AbortSignal,
  ): Promise<{ saved: true; where: string } | { saved: false; reason: string }> {
    const both = AbortSignal.any([this.#closing.signal, signal]);
    const state = await this.#deps.storage.open(both);
    if (!state.on) return { saved: false, reason: state.reason };
    const source = { ...from, lease: undefined, signal: both, onProgress: () => undefined };
    return { saved: true, where: (await this.#copy(source, state.store)).detail };
  }

  /** What another server began in these workspaces, as they are when they come to this one. */
  async openIn(workspaceIds: readonly string[]): Promise<SyncRow[]> {
    return await this.#rows.open(workspaceIds);
  }

  /** Completes what was as good as done, ends the rest, and saves anew. Without waiting for it. */
  takeOver(rows: readonly SyncRow[]): void {
    for (const row of rows) {
      const signal = this.#closing.signal;
      const parts: TakeOverParts = { ...this.#deps, rows: this.#rows, again: (input) => this.schedule(input), signal };
      this.#enqueue(row.workspace_id, row.session_id, () => takeOverSync(parts, row));
    }
  }

  /** Whether a save of it runs or waits. */
  isSaving(workspaceId: string): boolean {
    return this.#tails.has(workspaceId);
  }

  /** Resolves when nothing of this workspace is being saved. */
  async settledOf(workspaceId: string): Promise<void> {
    for (let tail = this.#tails.get(workspaceId); tail !== undefined; tail = this.#tails.get(workspaceId)) await tail;
  }

  /** Resolves when all that was scheduled has ended. */
  async settled(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  /** What runs is given up; without its last object nothing of it counts. */
  async letGo(reason: Error): Promise<void> {
    const closing = this.#closing;
    this.#closing = new AbortController();
    closing.abort(reason);
    await this.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the server stops"));
    await this.settled();
  }

  #enqueue(workspaceId: string, session: string, work: () => Promise<void>): void {
    const { signal } = this.#closing;
    const tail = (this.#tails.get(workspaceId) ?? Promise.resolve())
      .then(work)
      .catch((error) => {
        if (!signal.aborted && !isTakenOver(error))
          this.#deps.logger.error({ err: error, session }, "the workspace was not saved");
      })
      .finally(() => {
        if (this.#tails.get(workspaceId) === tail) this.#tails.delete(workspaceId);
      });
    this.#tails.set(workspaceId, tail);
  }

  async #sync({ sessionId, sandbox, generation }: SyncInput): Promise<void> {
    const { log, storage, logger } = this.#deps;
    const closing = this.#closing.signal;
    const append = async (events: readonly NewEvent[]) => {
      await log.append({ sessionId, generation, events }, { patience: closing });
    };
    const step = Step.begin(append, "sync", "Saving the workspace to S3");
    const state = await storage.open(closing);
    if (!state.on) return await step.end("skipped", { detail: state.reason });
    await step.running();
    try {
      const { id: workspaceId, accountId } = sandbox.workspace;
      const source = {
        accountId,
        workspaceId,
        lease: { sessionId, generation },
        handle: sandbox.handle,
        signal: AbortSignal.any([closing, sandbox.gone]),
        onProgress: (done: number) => {
          // A failure to tell shows up when the step ends.
          step.running({ progress: { done, total: null, unit: "files" } }).catch(() => undefined);
        },
      };
      const { state: ended, detail } = await this.#copy(source, state.store);
      await step.end(ended, { detail });
    } catch (error) {
      if (isTakenOver(error)) throw error;
      logger.error({ err: error, session: sessionId }, "the workspace was not saved");
      const gone = sandbox.gone.aborted ? "the sandbox ended before it was done" : undefined;
      const why = gone ?? (error instanceof Error ? error.message : String(error));
      await step.end("failed", {
        detail: `Not saved: ${why}. The next turn tries again; the workspace itself is kept`,
      });
    }
  }

  async #copy(source: Source, store: ObjectStore) {
    const { accountId, lease, handle, signal, onProgress } = source;
    const startedMs = this.#deps.clock.now();
    const { id, timestamp } = await this.#rows.reserve(source, { store, signal });
    const prefix = `${accountPrefix(accountId)}${timestamp}/`;
    let from: "running" | "committing" = "running";
    try {
      await this.#deps.leases.confirm();
      const { warnings, sealed } = await awsSync({ id, lease, handle, prefix, store, signal, onProgress });
      const listing = await listCopy(store, { prefix, signal });
      const { files, bytes } = listing;
      await writeListing(store, { prefix, listing, signal });
      const manifest = await this.#manifest(source, { startedMs, listing, sealed, warnings });
      // From here on any server may write it, and none another.
      await this.#rows.advance(id, { from, to: "committing", manifest }, lease);
      from = "committing";
      await this.#deps.leases.confirm();
      await writeManifest(store, { prefix, manifest, signal });
      const state = warnings.length > 0 ? ("warning" as const) : ("done" as const);
      await this.#rows.advance(id, { from, to: state }, lease);
      const saved = `${files} file${files === 1 ? "" : "s"}, ${bytes} bytes in s3://${store.bucket}/${prefix}`;
      return { state, detail: [saved, ...warnings].join("\n").slice(0, 4_000) };
    } catch (error) {
      if (!isTakenOver(error)) await this.#rows.advance(id, { from, to: "failed" }, lease);
      throw error;
    }
  }

  async #manifest(
    { accountId, workspaceId, lease }: Source,
    found: { startedMs: number; listing: CopyListing; sealed: boolean; warnings: string[] },
  ): Promise<string> {
    const manifest = {
      version: 1,
      account: accountId,
      workspace: workspaceId,
      session: lease?.sessionId ?? null,
      turn_seq: lease === undefined ? null : await this.#lastSeq(lease.sessionId),
      files: found.listing.files,
      bytes: found.listing.bytes,
      objects: { key: listingName, sha256: found.listing.sha256 },
      sealed: found.sealed,
      warnings: found.warnings,
      started_at: new Date(found.startedMs).toISOString(),
      ended_at: new Date(this.#deps.clock.now()).toISOString(),
    };
    return `${JSON.stringify(manifest, null, 2)}\n`;
  }

  async #lastSeq(sessionId: string): Promise<number> {
    const query = this.#deps.db.selectFrom("sessions").select("last_seq").where("id", "=", sessionId);
    return (await query.executeTakeFirstOrThrow()).last_seq;
  }
}

/** Another server saves, or has saved, in this one's place. */
function isTakenOver(error: unknown): boolean {
  return error instanceof StaleGenerationError || error instanceof LeaseLostError;
}
