import { newId } from "@holdfast/protocol";
import type { Selectable } from "kysely";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Schema, SyncState } from "../../ports/database.ts";
import type { EventLog } from "../../ports/event-log.ts";
import type { ObjectStore } from "../../ports/object-store.ts";
import { LeaseLostError } from "../leases/membership.ts";
import { accountPrefix } from "./account-prefix.ts";

export type SyncRow = Selectable<Schema["syncs"]>;

/** Under which a save is made; undefined: without a session. */
export type SyncLease = { sessionId: string; generation: number } | undefined;

interface Advance {
  from: SyncState;
  to: SyncState;
  manifest?: string;
}

/**
 * The rows of saves: `running`, then `committing` with the manifest, then done. Each step is taken by one server, under
 * the session's lease; the manifest that a row names is the only one that any server writes for it.
 */
export class SyncRows {
  readonly #db: Database;
  readonly #log: EventLog;
  readonly #clock: Clock;

  constructor({ db, log, clock }: { db: Database; log: EventLog; clock: Clock }) {
    this.#db = db;
    this.#log = log;
    this.#clock = clock;
  }

  /** This second's prefix, or the next one that nobody has: neither in our books nor in the bucket. */
  async reserve(
    target: { accountId: string; workspaceId: string; lease: SyncLease },
    { store, signal }: { store: ObjectStore; signal: AbortSignal },
  ): Promise<{ id: string; timestamp: number }> {
    const { accountId, lease } = target;
    for (let timestamp = Math.floor(this.#clock.now() / 1000); ; timestamp++) {
      signal.throwIfAborted();
      const id = newId("sync");
      if (!(await this.#insert({ ...target, id, timestamp }))) continue;
      const { files } = await store.measure(`${accountPrefix(accountId)}${timestamp}/`, { limit: 1, signal });
      if (files === 0) return { id, timestamp };
      await this.advance(id, { from: "running", to: "failed" }, lease);
    }
  }

  /** Rejects with `LeaseLostError` or `StaleGenerationError` when another server has decided over it. */
  async advance(id: string, { from, to, manifest }: Advance, lease: SyncLease): Promise<void> {
    await this.#log.transact(async ({ tx, lock }) => {
      if (lease !== undefined) await lock(lease.sessionId, lease.generation);
      const row = await tx
        .updateTable("syncs")
        // Kept only as long as somebody may have to write it: it tells of files.
        .set({ state: to, manifest_json: manifest ?? null })
        .where("id", "=", id)
        .where("state", "=", from)
        .returning("id")
        .executeTakeFirst();
      if (row === undefined) throw new LeaseLostError(`another server has ended the save ${id}`);
    });
  }

  /** What was begun in these workspaces and has not ended. There may be very many workspaces; what is open is few. */
  async open(workspaceIds: readonly string[]): Promise<SyncRow[]> {
    const mine = new Set(workspaceIds);
    const rows = await this.#db
      .selectFrom("syncs")
      .selectAll()
      .where("state", "in", ["running", "committing"])
      .orderBy("timestamp")
      .execute();
    return rows.filter((row) => mine.has(row.workspace_id));
  }

  async #insert(row: {
    id: string;
    accountId: string;
    workspaceId: string;
    timestamp: number;
    lease: SyncLease;
  }): Promise<boolean> {
    return await this.#log.transact(async ({ tx, lock }) => {
      if (row.lease !== undefined) await lock(row.lease.sessionId, row.lease.generation);
      const made = await tx
        .insertInto("syncs")
        .values({
          id: row.id,
          account_id: row.accountId,
          workspace_id: row.workspaceId,
          session_id: row.lease?.sessionId ?? "",
          timestamp: row.timestamp,
          state: "running",
          manifest_json: null,
          created_at: this.#clock.now(),
        })
        .onConflict((conflict) => conflict.columns(["account_id", "timestamp"]).doNothing())
        .returning("id")
        .executeTakeFirst();
      return made !== undefined;
    });
  }
}
