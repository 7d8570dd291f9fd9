import type { Clock } from "../ports/clock.ts";
import type { Database } from "../ports/database.ts";

export interface RetentionDeps {
  db: Database;
  clock: Clock;
  /** How long what is over is remembered. */
  keptMs: number;
}

const everyMs = 60 * 60 * 1000;
/** In one statement; there are more only after a long time without a server. */
const atOnce = 1_000;
/** A token may be this old, and is given to a sandbox as long as that lives; until then a revocation is tried again. */
const tokenLifeMs = 7 * 24 * 60 * 60 * 1000;

/**
 * Forgets what is over and only remembered: ended sandboxes, finished saves, revoked keys, rules that were taken back,
 * deleted workspaces that nothing names any more. What was said is not among it: that goes with its session.
 */
export class Retention {
  readonly #deps: RetentionDeps;
  #nextMs = 0;

  constructor(deps: RetentionDeps) {
    this.#deps = deps;
  }

  /** At the start and every hour; otherwise does nothing. Rows that are gone then, by table. */
  async round(signal: AbortSignal): Promise<Record<string, number>> {
    const nowMs = this.#deps.clock.now();
    if (nowMs < this.#nextMs) return {};
    const before = nowMs - this.#deps.keptMs;
    const gone: Record<string, number> = {};
    // Workspaces last: a sandbox names its own.
    for (const [table, forget] of Object.entries({ ...steps, workspaces })) {
      gone[table] = 0;
      for (let count = atOnce; count === atOnce; ) {
        signal.throwIfAborted();
        count = await forget(this.#deps.db, { before, nowMs });
        gone[table] += count;
      }
    }
    this.#nextMs = nowMs + everyMs;
    return gone;
  }
}

type Step = (db: Database, at: { before: number; nowMs: number }) => Promise<number>;

const steps: Record<string, Step> = {
  sandboxes: async (db, { before, nowMs }) => {
    const old = db
      .selectFrom("sandboxes")
      .select("id")
      .where("state", "=", "ended")
      .where("created_at", "<", before)
      .where("updated_at", "<", nowMs - tokenLifeMs)
      .limit(atOnce);
    return rowsOf(await db.deleteFrom("sandboxes").where("id", "in", old).executeTakeFirst());
  },
  syncs: async (db, { before }) => {
    const old = db
      .selectFrom("syncs")
      .select("id")
      .where("state", "in", ["done", "warning", "failed"])
      .where("created_at", "<", before)
      .limit(atOnce);
    return rowsOf(await db.deleteFrom("syncs").where("id", "in", old).executeTakeFirst());
  },
  api_keys: async (db, { before }) => {
    const old = db.selectFrom("api_keys").select("id").where("revoked_at", "<", before).limit(atOnce);
    return rowsOf(await db.deleteFrom("api_keys").where("id", "in", old).executeTakeFirst());
  },
  permission_rules: async (db, { before }) => {
    const old = db.selectFrom("permission_rules").select("id").where("deleted_at", "<", before).limit(atOnce);
    return rowsOf(await db.deleteFrom("permission_rules").where("id", "in", old).executeTakeFirst());
  },
};

/** One whose sessions can still be read stays with them. */
const workspaces: Step = async (db, { before }) =>
  await db.transaction().execute(async (tx) => {
    const old = await tx
      .selectFrom("workspaces")
      .select("id")
      .where("purged_at", "<", before)
      .where(({ not, exists, selectFrom }) =>
        not(exists(selectFrom("sessions").select("id").whereRef("workspace_id", "=", "workspaces.id"))),
      )
      .where(({ not, exists, selectFrom }) =>
        not(exists(selectFrom("sandboxes").select("id").whereRef("workspace_id", "=", "workspaces.id"))),
      )
      .limit(atOnce)
      .execute();
    const ids = old.map(({ id }) => id);
    if (ids.length === 0) return 0;
    for (const table of ["erasures", "permission_rules"] as const)
      await tx.deleteFrom(table).where("workspace_id", "in", ids).execute();
    await tx.deleteFrom("workspaces").where("id", "in", ids).execute();
    return ids.length;
  });

function rowsOf({ numDeletedRows }: { numDeletedRows: bigint }): number {
  return Number(numDeletedRows);
}
