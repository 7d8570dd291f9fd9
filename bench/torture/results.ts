import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Kind } from "./kind.ts";
import type { RoundResult } from "./round.ts";

const folder = fileURLToPath(new URL("../../.cache/torture", import.meta.url));

export interface StoredResults {
  name: string;
  what: string;
  seed: string;
  /** What ran. */
  commit: string;
  startedAt: string;
  minutes: number;
  /** Rounds that were meant to run. */
  asked: number;
  results: Omit<RoundResult, "evidence">[];
}

interface Finished {
  kind: Kind;
  seed: string;
  results: readonly RoundResult[];
  startedMs: number;
  asked: number;
}

export function saveResults({ kind, seed, results, startedMs, asked }: Finished): void {
  const stored: StoredResults = {
    name: kind.name,
    what: kind.what,
    seed,
    commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      cwd: import.meta.dirname,
      encoding: "utf8",
    }).trim(),
    startedAt: new Date(startedMs).toISOString(),
    minutes: (Date.now() - startedMs) / 60_000,
    asked,
    results: results.map(({ evidence: _evidence, ...rest }) => rest),
  };
  write(`${kind.name}.json`, stored);
}

/** Gives the file. */
export function saveEvidence(name: string, seed: string, result: RoundResult): string {
  return write(`failed-${name}-${seed}-${result.round}.json`, result);
}

/** Of the kinds that have run. */
export function loadResults(kinds: readonly Kind[]): StoredResults[] {
  return kinds.flatMap(({ name }) => {
    try {
      return [JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as StoredResults];
    } catch {
      console.error(`${name} has not run yet`);
      return [];
    }
  });
}

function write(name: string, value: unknown): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, `${JSON.stringify(value, null, 1)}\n`);
  return path;
}
