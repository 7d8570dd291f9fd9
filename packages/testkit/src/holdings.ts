import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";

/** What is held of the machine, by name; what only grows shows between two of these. */
export type Holdings = Record<string, number>;

/** Before and after something was done very often. */
export interface Growth {
  /** After a few of each. */
  before: Holdings;
  /** When all of them are over and what is kept for a while is forgotten. */
  after: Holdings;
}

export function processHoldings(name: string, pid: number): Holdings {
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0;
  return {
    [`${name}: descriptors`]: readdirSync(`/proc/${pid}/fd`).length,
    [`${name}: resident MB`]: Math.round((Number(resident) * 1024) / 1e6),
    [`${name}: timers and threads`]: readdirSync(`/proc/${pid}/task`).length,
  };
}

export function countFiles(dir: string): number {
  let count = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    count += 1;
    try {
      if (entry.isDirectory()) count += countFiles(join(dir, entry.name));
    } catch (error) {
      // Removed while we looked.
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
  return count;
}

/** Rows of each table of a SQLite file. A process may hold it alone: a copy is read. */
export function tableRows(file: string): Holdings {
  const copy = mkdtempSync(join(tmpdir(), "hfg-"));
  try {
    for (const name of [basename(file), `${basename(file)}-wal`]) {
      const from = join(file, "..", name);
      if (existsSync(from)) copyFileSync(from, join(copy, name));
    }
    using database = new DatabaseSync(join(copy, basename(file)));
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    const count = (table: string) => Number(database.prepare(`SELECT count(*) AS n FROM "${table}"`).get()?.n);
    return Object.fromEntries(tables.map(({ name }) => [`rows of ${name}`, count(String(name))]));
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** Looks again and again until `isSettled`, for a minute at the most; gives what was seen last. */
export async function settledHoldings(
  look: () => Holdings | Promise<Holdings>,
  isSettled: (now: Holdings) => boolean,
): Promise<Holdings> {
  let now = await look();
  for (const until = performance.now() + 60_000; !isSettled(now) && performance.now() < until; now = await look())
    await wait(200);
  return now;
}

/** Runs `work` `count` times, `atOnce` of them at once. */
export async function times(count: number, atOnce: number, work: () => Promise<unknown>): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

/** What is more than before, beyond what may vary: memory by some MB, a pooled connection, a thread. */
export function grown({ before, after }: Growth, megabytes: number): string[] {
  return Object.entries(after).flatMap(([name, value]) => {
    const allowed = name.endsWith("MB") ? megabytes : /descriptors|threads|files in/.test(name) ? 4 : 0;
    const more = value - (before[name] ?? 0);
    return more > allowed ? [`${name}: ${before[name] ?? 0} → ${value}`] : [];
  });
}
