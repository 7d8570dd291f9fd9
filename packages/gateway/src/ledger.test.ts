import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { SandboxTokenPayload } from "@holdfast/std";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDatabase } from "./database.ts";
import { Ledger } from "./ledger.ts";
import { isTooOld, maxTokenLifeMs, Revocations } from "./revocations.ts";

const day = 24 * 60 * 60 * 1000;
let folder: string;
let db: DatabaseSync;
let nowMs: number;
const now = () => nowMs;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-ledger-"));
  db = openDatabase(folder);
  nowMs = Date.parse("2026-01-01T12:00:00Z");
});
afterEach(() => {
  db.close();
  rmSync(folder, { recursive: true });
});

const token = (n: number): SandboxTokenPayload => ({
  v: 1,
  acc: `acc_${n % 2}`,
  wsp: "wsp_1",
  sbx: `sb-${n}`,
  ses: `sesn_${n}`,
  iat: nowMs / 1000,
  exp: nowMs / 1000 + 3600,
  jti: `j${n}`,
});
const count = (table: string) => Number(db.prepare(`SELECT COUNT(*) AS n FROM ${table}`).get()?.n);

function use(ledger: Ledger, n: number): void {
  const usage = { model: `m${n % 3}`, inputTokens: n, outputTokens: 1, cacheWriteTokens: 2, cacheReadTokens: 3 };
  const entry = { claudeSession: undefined, mode: "scripted" as const, durationMs: 1 };
  ledger.append({ ...entry, token: token(n), usage: { ...usage, complete: true } });
}

test("rows of usage do not grow with the requests, and no sum changes for that", () => {
  const options = { limits: { rows: 1_000, ms: 3 * day }, now };
  const ledger = new Ledger(db, options);
  db.exec("PRAGMA synchronous = OFF");
  const made = 6_000;
  for (let n = 0; n < made; n++) {
    use(ledger, n);
    if (n % 2_000 === 1_999) nowMs += day;
  }
  expect(count("usage")).toBeLessThanOrEqual(1_500);
  // Two accounts, three models, three days.
  expect(count("usage_day")).toBeLessThanOrEqual(18);
  const sum = (made * (made - 1)) / 2;
  expect(ledger.report({}).totals).toEqual({
    requests: made,
    inputTokens: sum,
    outputTokens: made,
    cacheWriteTokens: 2 * made,
    cacheReadTokens: 3 * made,
  });
  expect(ledger.report({}).models.map(({ requests }) => requests)).toEqual([2_000, 2_000, 2_000]);
  expect(ledger.report({ account: "acc_0" }).totals.requests).toBe(made / 2);
  expect(ledger.report({ session: `sesn_${made - 1}` }).totals.requests).toBe(1);
  // However few there were since: with the time all of them become sums.
  nowMs += 4 * day;
  for (let n = 0; n < 2; n++) expect(new Ledger(db, options).report({}).totals.requests).toBe(made);
  expect(count("usage")).toBe(0);
});

test("a revocation is kept for as long as a token can live, and no longer", () => {
  db.exec("PRAGMA synchronous = OFF");
  const revocations = new Revocations(db, now);
  const first = token(0);
  for (let n = 0; n < 3_000; n++) {
    revocations.add("sbx", `sb-${n}`);
    nowMs += maxTokenLifeMs / 1_000;
    if (n === 998) {
      expect(revocations.isRevoked(first)).toBe(true);
      expect(isTooOld(first, nowMs)).toBe(false);
    }
  }
  expect([revocations.size, count("revocation")].map((n) => n <= 1_001)).toEqual([true, true]);
  expect(isTooOld(first, nowMs)).toBe(true);
  expect(new Revocations(db, now).isRevoked(token(2_999))).toBe(true);
});

test("at every moment a token that was revoked is refused, for its revocation or its age", () => {
  db.exec("PRAGMA synchronous = OFF");
  const revocations = new Revocations(db, now);
  const long = { ...token(0), exp: nowMs / 1000 + 365 * 24 * 3600 };
  revocations.add("acc", "acc_0");
  for (let n = 0; n < 400; n++) {
    nowMs += day / 24;
    revocations.add("jti", `other ${n}`);
    expect(revocations.isRevoked(long) || isTooOld(long, nowMs)).toBe(true);
  }
});
