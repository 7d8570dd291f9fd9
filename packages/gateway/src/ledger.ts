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

const SUMS = `COUNT(*) AS requests, COALESCE(SUM(input_tokens), 0) AS inputTokens,
  COALESCE(SUM(output_tokens), 0) AS outputTokens, COALESCE(SUM(cache_write_tokens), 0) AS cacheWriteTokens,
  COALESCE(SUM(cache_read_tokens), 0) AS cacheReadTokens`;

/** What was used, by whom. */
export class Ledger {
  readonly #db: DatabaseSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
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
        new Date().toISOString(),
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
  }

  /** Sums; `session` is ours or Claude Code's. */
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
    const totals = this.#db.prepare(`SELECT ${SUMS} FROM usage ${where}`).get(...values);
    const models = this.#db
      .prepare(`SELECT model, mode, ${SUMS} FROM usage ${where} GROUP BY model, mode ORDER BY model, mode`)
      .all(...values);
    return {
      totals: toTotals(totals ?? {}),
      models: models.map((row) => ({ model: String(row.model), mode: String(row.mode), ...toTotals(row) })),
    };
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
