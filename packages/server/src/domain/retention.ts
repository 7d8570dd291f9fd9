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
    const old = await db
      .selectFrom("sandboxes")
      .select("id")
      .where("state", "=", "ended")
      .where("created_at", "<", before)
      .where("updated_at", "<", nowMs - tokenLifeMs)
      .limit(atOnce)
      .execute();
    return await drop(db, "sandboxes", old);
  },
  syncs: async (db, { before }) => {
    const old = await db
      .selectFrom("syncs")
      .select("id")
      .where("state", "in", ["done", "warning", "failed"])
      .where("created_at", "<", before)
      .limit(atOnce)
      .execute();
    return await drop(db, "syncs", old);
  },
  api_keys: async (db, { before }) => {
    const old = await db.selectFrom("api_keys").select("id").where("revoked_at", "<", before).limit(atOnce).execute();
    return await drop(db, "api_keys", old);
  },
  permission_rules: async (db, { before }) => {
    const rules = db.selectFrom("permission_rules").select("id").where("deleted_at", "<", before);
    return await drop(db, "permission_rules", await rules.limit(atOnce).execute());
  },
};

/** Nearly always there is nothing: then nobody else who writes waits for us. */
async function drop(
  db: Database,
  table: "sandboxes" | "syncs" | "api_keys" | "permission_rules",
  rows: readonly { id: string }[],
): Promise<number> {
  if (rows.length === 0) return 0;
  const ids = rows.map(({ id }) => id);
  const { numDeletedRows } = await db.deleteFrom(table).where("id", "in", ids).executeTakeFirst();
  return Number(numDeletedRows);
}

/** One whose sessions can still be read stays with them. */
const workspaces: Step = async (db, at) => {
  if ((await oldWorkspaces(db, at)).length === 0) return 0;
  return await db.transaction().execute(async (tx) => {
    const ids = await oldWorkspaces(tx, at);
    if (ids.length === 0) return 0;
    for (const table of ["erasures", "permission_rules"] as const)
      await tx.deleteFrom(table).where("workspace_id", "in", ids).execute();
    await tx.deleteFrom("workspaces").where("id", "in", ids).execute();
    return ids.length;
  });
};

async function oldWorkspaces(db: Database, { before }: { before: number }): Promise<string[]> {
  const rows = await db
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
  return rows.map(({ id }) => id);
}
