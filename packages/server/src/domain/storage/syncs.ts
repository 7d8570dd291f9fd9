import { type NewEvent, newId } from "@holdfast/protocol";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database, SyncState } from "../../ports/database.ts";
import { type EventLog, StaleGenerationError } from "../../ports/event-log.ts";
import type { ObjectStore, Storage } from "../../ports/object-store.ts";
import type { SandboxHandle } from "../../ports/sandbox-provider.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { type ExecResult, runExec } from "../sandboxes/run-exec.ts";
import { filesMount } from "../sandboxes/sandboxes.ts";
import { Step } from "../turns/steps.ts";

export interface SyncsDeps {
  db: Database;
  log: EventLog;
  clock: Clock;
  logger: Logger;
  storage: Storage;
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
  sessionId: string | undefined;
  handle: SandboxHandle;
  /** Aborts when its sandbox is gone, too. */
  signal: AbortSignal;
  /** Told of files as they are saved. */
  onProgress: (done: number) => void;
}

const syncTimeoutMs = 30 * 60 * 1000;
/** AWS gives none for less. */
const credentialLifetimeMs = 60 * 60 * 1000;
const progressEveryMs = 1_000;

/**
 * The root of what `aws s3 sync --no-follow-symlinks` walks must not be a symlink itself, and a volume's mount point is
 * one: root resolves it, claudeuser reads below it.
 */
const script =
  'dir=$(readlink -f "$1") && shift && exec runuser -u claudeuser -- aws s3 sync --no-follow-symlinks --no-progress "$dir" "$@"';

export function accountPrefix(accountId: string): string {
  return `docs/${accountId}/`;
}

/** Saves workspaces to `docs/{accountId}/{unix seconds}/` after their turns: one at a time for each workspace. */
export class Syncs {
  readonly #deps: SyncsDeps;
  readonly #tails = new Map<string, Promise<void>>();
  #closing = new AbortController();

  constructor(deps: SyncsDeps) {
    this.#deps = deps;
  }

  /** Without waiting for it: the session's log tells how it goes. */
  schedule(input: SyncInput): void {
    const { id } = input.sandbox.workspace;
    const use = input.sandbox.use();
    const tail = (this.#tails.get(id) ?? Promise.resolve())
      .then(() => this.#sync(input))
      .catch((error) => {
        if (!this.#closing.signal.aborted && !(error instanceof StaleGenerationError)) {
          this.#deps.logger.error({ err: error, session: input.sessionId }, "the workspace was not saved");
        }
      })
      .finally(() => {
        use[Symbol.dispose]();
        if (this.#tails.get(id) === tail) this.#tails.delete(id);
      });
    this.#tails.set(id, tail);
  }

  /** Without a turn: the workspace of a sandbox that nobody knows here. Rejects when it could not be saved. */
  async saveNow(
    from: { accountId: string; workspaceId: string; handle: SandboxHandle },
    signal: AbortSignal,
  ): Promise<{ saved: true; where: string } | { saved: false; reason: string }> {
    const both = AbortSignal.any([this.#closing.signal, signal]);
    const state = await this.#deps.storage.open(both);
    if (!state.on) return { saved: false, reason: state.reason };
    const source = { ...from, sessionId: undefined, signal: both, onProgress: () => undefined };
    return { saved: true, where: (await this.#copy(source, state.store)).detail };
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

  async #sync(input: SyncInput): Promise<void> {
    const { log, storage, logger } = this.#deps;
    const { sessionId, generation } = input;
    const append = async (events: readonly NewEvent[]) =>
      void (await log.append({ sessionId, generation, events }, { patience: this.#closing.signal }));
    const step = Step.begin(append, "sync", "Saving the workspace to S3");
    const state = await storage.open(this.#closing.signal);
    if (!state.on) return await step.end("skipped", { detail: state.reason });
    await step.running();
    try {
      const { id: workspaceId, accountId } = input.sandbox.workspace;
      const source = {
        accountId,
        workspaceId,
        sessionId,
        handle: input.sandbox.handle,
        signal: AbortSignal.any([this.#closing.signal, input.sandbox.gone]),
        onProgress: (done: number) => {
          // A failure to tell shows up when the step ends.
          step.running({ progress: { done, total: null, unit: "files" } }).catch(() => undefined);
        },
      };
      const { state: ended, detail } = await this.#copy(source, state.store);
      await step.end(ended, { detail });
    } catch (error) {
      logger.error({ err: error, session: sessionId }, "the workspace was not saved");
      const gone = input.sandbox.gone.aborted ? "the sandbox ended before it was done" : undefined;
      const why = gone ?? (error instanceof Error ? error.message : String(error));
      await step.end("failed", {
        detail: `Not saved: ${why}. The next turn tries again; the workspace itself is kept`,
      });
    }
  }

  async #copy(source: Source, store: ObjectStore) {
    const { accountId, workspaceId, sessionId, handle, signal, onProgress } = source;
    const startedMs = this.#deps.clock.now();
    const { id, timestamp } = await this.#reserve(source, store);
    const prefix = `${accountPrefix(accountId)}${timestamp}/`;
    try {
      const secrets = await store.credentialsFor(prefix, { lifetimeMs: credentialLifetimeMs, signal });
      const endpoint = store.sandboxEndpoint === undefined ? [] : ["--endpoint-url", store.sandboxEndpoint];
      const args = ["sh", "-c", script, "sh", filesMount, `s3://${store.bucket}/${prefix}`, ...endpoint];
      const onStdout = countUploads(onProgress);
      const result = await runExec(handle, args, { secrets, timeoutMs: syncTimeoutMs, signal, onStdout });
      const warnings = warningsOf(result);
      const { files, bytes } = await store.measure(prefix, { signal });
      const manifest = {
        version: 1,
        account: accountId,
        workspace: workspaceId,
        session: sessionId ?? null,
        turn_seq: sessionId === undefined ? null : await this.#lastSeq(sessionId),
        files,
        bytes,
        warnings,
        started_at: new Date(startedMs).toISOString(),
        ended_at: new Date(this.#deps.clock.now()).toISOString(),
      };
      const body = new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
      await store.create(`${prefix}.manifest`, body, { contentType: "application/json", signal });
      const state = warnings.length > 0 ? ("warning" as const) : ("done" as const);
      await this.#mark(id, state);
      const saved = `${files} file${files === 1 ? "" : "s"}, ${bytes} bytes in s3://${store.bucket}/${prefix}`;
      return { state, detail: [saved, ...warnings].join("\n").slice(0, 4_000) };
    } catch (error) {
      await this.#mark(id, "failed");
      throw error;
    }
  }

  /** This second's prefix, or the next one that nobody has: neither in our books nor in the bucket. */
  async #reserve(
    { accountId, workspaceId, sessionId, signal }: Source,
    store: ObjectStore,
  ): Promise<{ id: string; timestamp: number }> {
    const { db, clock } = this.#deps;
    for (let timestamp = Math.floor(clock.now() / 1000); ; timestamp++) {
      signal.throwIfAborted();
      const id = newId("sync");
      const row = await db
        .insertInto("syncs")
        .values({
          id,
          account_id: accountId,
          workspace_id: workspaceId,
          session_id: sessionId ?? "",
          timestamp,
          state: "running",
          manifest_json: null,
          created_at: clock.now(),
        })
        .onConflict((conflict) => conflict.columns(["account_id", "timestamp"]).doNothing())
        .returning("id")
        .executeTakeFirst();
      if (row === undefined) continue;
      const { files } = await store.measure(`${accountPrefix(accountId)}${timestamp}/`, { limit: 1, signal });
      if (files === 0) return { id, timestamp };
      await this.#mark(id, "failed");
    }
  }

  async #lastSeq(sessionId: string): Promise<number> {
    const query = this.#deps.db.selectFrom("sessions").select("last_seq").where("id", "=", sessionId);
    return (await query.executeTakeFirstOrThrow()).last_seq;
  }

  async #mark(id: string, state: SyncState): Promise<void> {
    await this.#deps.db.updateTable("syncs").set({ state }).where("id", "=", id).execute();
  }
}

/** Code 2 of the AWS CLI: everything but what it warns of (a file that vanished or cannot be read) was saved. */
function warningsOf({ code, stdout, stderr }: ExecResult): string[] {
  if (code === 0) return [];
  const said = `${stderr}\n${stdout}`.trim();
  if (code !== 2) throw new Error(`aws s3 sync ended with exit code ${code}: ${said.slice(-2_000)}`);
  const lines = said.split("\n").filter((line) => line.startsWith("warning:"));
  return lines.length > 0 ? lines.slice(0, 20) : [said.slice(-1_000) || "some files were left out"];
}

/** Calls back with the count of uploads, at most once a second. */
function countUploads(tell: (done: number) => void): (text: string) => void {
  let done = 0;
  let toldMs = performance.now();
  return (text) => {
    done += text.split("upload: ").length - 1;
    const now = performance.now();
    if (done === 0 || now - toldMs < progressEveryMs) return;
    toldMs = now;
    tell(done);
  };
}
