import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { clientFor, sh, temporaryDataDir } from "./_engine.ts";
import { instanceOf, processesWith, spawnEngine, stopEngine } from "./_process.ts";

/** What one engine holds of the machine, by name; what only grows shows between two of these. */
export type Holdings = Record<string, number>;

const programs = { engine: "engine/src/main.ts", keeper: "keeper/main.ts", egress: "egress/main.ts" };
const tables = ["apps", "secrets", "volumes", "images", "id_ranges", "sandboxes", "execs"];

/** `enginePid` does not have the data directory in its command line; the others do. */
export function holdings(dataDir: string, enginePid: number): Holdings {
  const instance = instanceOf(dataDir);
  const others = processesWith(dataDir);
  const found: Holdings = {};
  for (const [name, program] of Object.entries(programs)) {
    const pid = name === "engine" ? enginePid : others.find(({ command }) => command.includes(program))?.pid;
    if (pid === undefined) continue;
    found[`${name}: descriptors`] = readdirSync(`/proc/${pid}/fd`).length;
    found[`${name}: resident MB`] = Math.round(residentBytes(pid) / 1e6);
    found[`${name}: timers and threads`] = readdirSync(`/proc/${pid}/task`).length;
    if (name !== "keeper") continue;
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
    found["keeper: mounts of its own"] = mounts.filter((line) => line.includes(`holdfast-${instance}`)).length;
    found["keeper: files in memory"] = countFiles(`/proc/${pid}/root/run/holdfast-${instance}`);
    const cgroups = `/proc/${pid}/root/sys/fs/cgroup`;
    found["keeper: entries in the cgroup root"] = readdirSync(cgroups).length;
    // The number of groups that the kernel knows of is that of all who use this machine: only ours count.
    found["keeper: cgroups"] = readdirSync(cgroups)
      .map((tree) => `${cgroups}/${tree}/holdfast-${instance}`)
      .filter((dir) => existsSync(dir))
      .reduce((sum, dir) => sum + countDirectories(dir), 0);
  }
  found["files in the data directory"] = countFiles(dataDir);
  for (const [table, count] of Object.entries(rows(dataDir))) found[`rows of ${table}`] = count;
  return found;
}

function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

function countDirectories(dir: string): number {
  return readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory()).length;
}

function countFiles(dir: string): number {
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

/** The engine holds its database alone: a copy is read. */
function rows(dataDir: string): Record<string, number> {
  const copy = mkdtempSync(join(tmpdir(), "hfg-"));
  try {
    for (const name of ["engine.db", "engine.db-wal"]) {
      const file = join(dataDir, "state", name);
      if (existsSync(file)) copyFileSync(file, join(copy, name));
    }
    const database = new DatabaseSync(join(copy, "engine.db"));
    const count = (table: string) => Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n);
    const found = Object.fromEntries(tables.map((table) => [table, count(table)]));
    database.close();
    return found;
  } finally {
    rmSync(copy, { recursive: true });
  }
}

export interface Growth {
  /** After a few of each. */
  before: Holdings;
  /** When all of them are over and what is kept for a while is forgotten. */
  after: Holdings;
}

const atOnce = 4;
const warmUp = 8;

/** Runs `work` `count` times, some at once. */
async function times(count: number, work: () => Promise<unknown>): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

/**
 * Makes and ends `count` sandboxes on one keeper, and runs `count` execs in one sandbox. `settled` is asked with what is
 * held before and now, until it says that nothing is to be waited for any more.
 */
export async function growEngine(
  count: number,
  settled: (before: Holdings, now: Holdings) => boolean,
): Promise<Record<"creates and ends" | "execs in one sandbox", Growth>> {
  using dir = temporaryDataDir();
  const options = { outputRetentionMs: 2_000, recordRetentionMs: 2_000, housekeepingMs: 500 };
  const engine = await spawnEngine(dir.path, options);
  try {
    const modal = clientFor(engine.url);
    const app = await modal.apps.fromName("growth", { createIfMissing: true });
    const image = await modal.images.fromRegistry("debian:12-slim").build(app);
    const make = async () => {
      const made = await modal.sandboxes.create(app, image, { command: ["sleep", "infinity"] });
      await made.terminate();
    };
    const look = () => holdings(dir.path, engine.child.pid ?? 0);
    const rest = async (before: Holdings) => {
      let now = look();
      for (const until = performance.now() + 60_000; !settled(before, now) && performance.now() < until; now = look())
        await new Promise((resolve) => setTimeout(resolve, 200));
      return now;
    };
    const nothing = (now: Holdings) => now["rows of sandboxes"] === 0;
    const quiet = async () => {
      let now = look();
      for (const until = performance.now() + 60_000; !nothing(now) && performance.now() < until; now = look())
        await new Promise((resolve) => setTimeout(resolve, 200));
      return now;
    };
    await times(warmUp, make);
    const beforeCreates = await quiet();
    await times(count, make);
    const creates = { before: beforeCreates, after: await rest(beforeCreates) };
    const one = await modal.sandboxes.create(app, image, { command: ["sleep", "infinity"], timeoutMs: 3_600_000 });
    const run = async () => {
      const { stdout } = await sh(one, "echo one of many");
      if (stdout !== "one of many\n") throw new Error(`an exec said ${JSON.stringify(stdout)}`);
    };
    await times(warmUp, run);
    await times(count, run);
    await one.terminate();
    const execs = { before: beforeCreates, after: await rest(beforeCreates) };
    return { "creates and ends": creates, "execs in one sandbox": execs };
  } finally {
    await stopEngine(engine.child, "SIGINT");
  }
}

/** What is more than before, beyond what may vary: memory by some MB, a pooled connection, a thread. */
export function grown(before: Holdings, after: Holdings, megabytes: number): string[] {
  return Object.entries(after).flatMap(([name, value]) => {
    const allowed = name.endsWith("MB") ? megabytes : /descriptors|threads|files in/.test(name) ? 4 : 0;
    const more = value - (before[name] ?? 0);
    return more > allowed ? [`${name}: ${before[name] ?? 0} → ${value}`] : [];
  });
}
