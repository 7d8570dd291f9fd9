import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
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
  results: Omit<RoundResult, "evidence">[];
}

interface Finished {
  kind: Kind;
  seed: string;
  results: readonly RoundResult[];
  startedMs: number;
  /** Rounds that were repeated: they take the place of those that ran before. */
  isPart: boolean;
}

export function saveResults({ kind, seed, results, startedMs, isPart }: Finished): void {
  const before = isPart ? readResults(join(folder, `${kind.name}-${seed}.json`)) : undefined;
  const repeated = new Set(results.map(({ round }) => round));
  const failedBefore = new Map(before?.results.map((each) => [each.round, each.before ?? each.failures]));
  const again = results.map(({ evidence: _evidence, ...rest }) => {
    const why = failedBefore.get(rest.round) ?? [];
    return why.length === 0 ? rest : { ...rest, before: why };
  });
  const kept = before?.results.filter(({ round }) => !repeated.has(round)) ?? [];
  const stored: StoredResults = {
    name: kind.name,
    what: kind.what,
    seed,
    commit: [...new Set([...(before?.commit.split(", ") ?? []), currentCommit()])].join(", "),
    startedAt: before?.startedAt ?? new Date(startedMs).toISOString(),
    results: [...kept, ...again].toSorted((a, b) => a.round - b.round),
  };
  write(`${kind.name}-${seed}.json`, stored);
}

function currentCommit(): string {
  return execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: import.meta.dirname, encoding: "utf8" }).trim();
}

/** Gives the file. */
export function saveEvidence(name: string, seed: string, result: RoundResult): string {
  return write(`failed-${name}-${seed}-${result.round}.json`, result);
}

/** Of the kinds that have run, whatever their seeds. */
export function loadResults(kinds: readonly Kind[]): StoredResults[] {
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return kinds.flatMap(({ name }) => {
    const own = files.filter((file) => file.startsWith(`${name}-`) && file.endsWith(".json")).toSorted();
    if (own.length === 0) console.error(`${name} has not run yet`);
    return own.flatMap((file) => readResults(join(folder, file)) ?? []);
  });
}

function readResults(path: string): StoredResults | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as StoredResults) : undefined;
}

function write(name: string, value: unknown): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, `${JSON.stringify(value, null, 1)}\n`);
  return path;
}
