import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { SandboxTokenPayload } from "@holdfast/std";
import type { MeteredUsage } from "./usage-meter.ts";

export interface UsageTotals {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheWriteTokens: number;
  readonly cacheReadTokens: number;
}

export interface UsageReport {
  readonly totals: UsageTotals;
  readonly models: readonly (UsageTotals & { readonly model: string; readonly mode: string })[];
}

const COUNTS = ["requests", "input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens"] as const;
const COLUMNS = COUNTS.join(", ");
const SUMS = `COALESCE(SUM(requests), 0) AS requests, COALESCE(SUM(input_tokens), 0) AS inputTokens,
  COALESCE(SUM(output_tokens), 0) AS outputTokens, COALESCE(SUM(cache_write_tokens), 0) AS cacheWriteTokens,
  COALESCE(SUM(cache_read_tokens), 0) AS cacheReadTokens`;
/** One row for each. */
const REQUESTS = "(SELECT *, 1 AS requests FROM usage)";

/** How much is told request by request, thus by session; what is older or more is summed by account, day and model. */
export interface LedgerLimits {
  rows: number;
  ms: number;
}
const defaultLimits: LedgerLimits = { rows: 100_000, ms: 90 * 24 * 60 * 60 * 1000 };
/** Requests between two looks for what is to be summed, and how many are summed then: it catches up, and blocks briefly. */
const foldEvery = 500;
const foldAtOnce = 2_000;

/** What was used, by whom. */
export class Ledger {
  readonly #db: DatabaseSync;
  readonly #limits: LedgerLimits;
  readonly #now: () => number;
  #appended = 0;

  constructor(db: DatabaseSync, options: { limits?: LedgerLimits; now?: () => number } = {}) {
    this.#db = db;
    this.#limits = options.limits ?? defaultLimits;
    this.#now = options.now ?? Date.now;
    this.#fold();
  }

  append(entry: {
    token: SandboxTokenPayload;
    /** As the CLI says it; a sandbox can lie here, so it only refines a report. */
    claudeSession: string | undefined;
    mode: "anthropic" | "scripted";
    usage: MeteredUsage;
    durationMs: number;
  }): void {
    const { token, usage } = entry;
    this.#db
      .prepare(
        `INSERT INTO usage (at, account, workspace, sandbox, session, claude_session, model, mode, input_tokens,
          output_tokens, cache_write_tokens, cache_read_tokens, complete, duration_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        new Date(this.#now()).toISOString(),
        token.acc,
        token.wsp,
        token.sbx ?? null,
        token.ses ?? null,
        entry.claudeSession ?? null,
        usage.model ?? "unknown",
        entry.mode,
        Math.round(usage.inputTokens),
        Math.round(usage.outputTokens),
        Math.round(usage.cacheWriteTokens),
        Math.round(usage.cacheReadTokens),
        usage.complete ? 1 : 0,
        Math.round(entry.durationMs),
      );
    this.#appended++;
    if (this.#appended % foldEvery === 0) this.#fold();
  }

  /** Sums; `session` is ours or Claude Code's, and of late (`LedgerLimits`). */
  report(filter: { session?: string | undefined; account?: string | undefined }): UsageReport {
    const conditions: string[] = [];
    const values: SQLInputValue[] = [];
    if (filter.session !== undefined) {
      conditions.push("(session = ? OR claude_session = ?)");
      values.push(filter.session, filter.session);
    }
    if (filter.account !== undefined) {
      conditions.push("account = ?");
      values.push(filter.account);
    }
    const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
    const selects = [`SELECT model, mode, ${COLUMNS} FROM ${REQUESTS} ${where}`];
    // Days know no sessions.
    if (filter.session === undefined) selects.push(`SELECT model, mode, ${COLUMNS} FROM usage_day ${where}`);
    const bound = selects.flatMap(() => values);
    const from = `(${selects.join(" UNION ALL ")})`;
    const totals = this.#db.prepare(`SELECT ${SUMS} FROM ${from}`).get(...bound);
    const models = this.#db
      .prepare(`SELECT model, mode, ${SUMS} FROM ${from} GROUP BY model, mode ORDER BY model, mode`)
      .all(...bound);
    return {
      totals: toTotals(totals ?? {}),
      models: models.map((row) => ({ model: String(row.model), mode: String(row.mode), ...toTotals(row) })),
    };
  }

  /** The oldest requests become part of their account's day. */
  #fold(): void {
    const db = this.#db;
    const { rows, ms } = this.#limits;
    const before = new Date(this.#now() - ms).toISOString();
    const found = db
      .prepare(
        `SELECT MAX(id) AS last FROM (SELECT id, at FROM usage ORDER BY id LIMIT ${foldAtOnce})
         WHERE at < ? OR id <= (SELECT MAX(id) FROM usage) - ?`,
      )
      .get(before, rows);
    if (found === undefined || found.last === null || found.last === undefined) return;
    const last = Number(found.last);
    db.exec("BEGIN IMMEDIATE");
    try {
      db.prepare(
        `INSERT INTO usage_day (day, account, model, mode, ${COLUMNS})
         SELECT substr(at, 1, 10) AS day, account, model, mode, ${COUNTS.map((name) => `SUM(${name})`).join(", ")}
         FROM ${REQUESTS} WHERE id <= ? GROUP BY day, account, model, mode
         ON CONFLICT DO UPDATE SET ${COUNTS.map((name) => `${name} = ${name} + excluded.${name}`).join(", ")}`,
      ).run(last);
      db.prepare("DELETE FROM usage WHERE id <= ?").run(last);
      db.exec("COMMIT");
    } catch (error) {
      db.exec("ROLLBACK");
      throw error;
    }
  }
}

function toTotals(row: Record<string, unknown>): UsageTotals {
  return {
    requests: Number(row.requests ?? 0),
    inputTokens: Number(row.inputTokens ?? 0),
    outputTokens: Number(row.outputTokens ?? 0),
    cacheWriteTokens: Number(row.cacheWriteTokens ?? 0),
    cacheReadTokens: Number(row.cacheReadTokens ?? 0),
  };
}
