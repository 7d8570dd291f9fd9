/**
 * What the event log stores in a second: single appends one after the other, the same from many sessions at once, and
 * rows in batches; SQLite and PostgreSQL side by side, both waiting for the disk at each commit. Run as root:
 * `node bench/database.ts`. Compare ratios: the machine's load is part of it.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "@holdfast/testkit/postgres";
import { pino } from "pino";
import { DbEventLog } from "../packages/server/src/adapters/db/event-log.ts";
import { openBus, openServerDatabase } from "../packages/server/src/database.ts";
import { Accounts } from "../packages/server/src/domain/accounts/accounts.ts";
import { Sessions } from "../packages/server/src/domain/sessions/sessions.ts";
import { systemClock as clock } from "../packages/server/src/ports/clock.ts";

const seconds = Number(process.argv[2] ?? 5);
const logger = pino({ level: "silent" });
const event = { type: "agent.message" as const, content: [{ type: "text" as const, text: "x".repeat(300) }] };
const batch = Array.from({ length: 50 }, () => event);

async function open(choice: { dataDir: string; databaseUrl?: string }, stack: AsyncDisposableStack) {
  const { db } = stack.use(await openServerDatabase(choice, logger));
  const bus = stack.use(openBus(choice, db, logger));
  const log = stack.use(new DbEventLog(db, { clock, bus }));
  const sessions = new Sessions({
    db,
    log,
    clock,
    installationId: "bench",
    permissionMode: "bypassPermissions",
    turns: {} as never,
    erasures: {} as never,
  });
  const { id } = await new Accounts({ db, clock }).ensureDefault();
  const input = { agent: "agent_default", environment_id: "env_default" };
  const session = async () => (await sessions.create(id, input, { retryCount: 0, bodyHash: "" })).id;
  return { log, session };
}

type Opened = Awaited<ReturnType<typeof open>>;

/** Rows per second of `writers` that append at the same time, each to its own session. */
async function rate({ log, session }: Opened, writers: number, events: (typeof event)[]): Promise<number> {
  const ids = await Promise.all(Array.from({ length: writers }, session));
  const begun = performance.now();
  const end = begun + seconds * 1_000;
  let rows = 0;
  const write = async (sessionId: string) => {
    while (performance.now() < end) {
      await log.append({ sessionId, events });
      rows += events.length;
    }
  };
  await Promise.all(ids.map(write));
  return rows / ((performance.now() - begun) / 1_000);
}

/** From the append on one server to the reader on another: median and 95th percentile, in milliseconds. */
async function acrossServers(one: Opened, two: Opened): Promise<string> {
  const sessionId = await one.session();
  const left = new AbortController();
  const reader = two.log.read({ sessionId, after: 0, signal: left.signal })[Symbol.asyncIterator]();
  const times: number[] = [];
  for (let n = 0; n < 300; n++) {
    const next = reader.next();
    const begun = performance.now();
    await one.log.append({ sessionId, events: [event] });
    await next;
    times.push(performance.now() - begun);
  }
  await reader.return?.(undefined);
  left.abort();
  const sorted = times.toSorted((a, b) => a - b);
  return [0.5, 0.95].map((part) => sorted[Math.floor(sorted.length * part)]?.toFixed(1)).join(", ");
}

/** What the disk alone gives: how often 4 KiB can be written and waited for in a second. */
function disk(dir: string): number {
  const file = openSync(join(dir, "disk"), "w");
  const end = performance.now() + 1_000;
  let count = 0;
  for (; performance.now() < end; count++) {
    writeSync(file, Buffer.alloc(4096), 0, 4096, 0);
    fdatasyncSync(file);
  }
  closeSync(file);
  return count;
}

await using stack = new AsyncDisposableStack();
const dataDir = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
stack.defer(() => rmSync(dataDir, { recursive: true, force: true }));
const cluster = stack.use(await startPostgres({ durable: true }));
const databaseUrl = await cluster.createDatabase();
const sqlite = await open({ dataDir }, stack);
const postgres = await open({ dataDir, databaseUrl }, stack);
const other = await open({ dataDir, databaseUrl }, stack);

const figures: [string, number, (typeof event)[]][] = [
  ["single appends, one session (rows/s)", 1, [event]],
  ["single appends, 10 sessions at once (rows/s)", 10, [event]],
  ["batches of 50, one session (rows/s)", 1, batch],
  ["batches of 50, 10 sessions at once (rows/s)", 10, batch],
];
console.log(
  `Load ${loadavg()[0]?.toFixed(1)}, ${seconds} s each; the disk alone: ${disk(dataDir)} waited-for writes of 4 KiB/s.\n`,
);
console.log("| figure | SQLite | PostgreSQL | ratio |\n| --- | --- | --- | --- |");
for (const [name, writers, events] of figures) {
  const [a, b] = [await rate(sqlite, writers, events), await rate(postgres, writers, events)];
  console.log(`| ${name} | ${a.toFixed(0)} | ${b.toFixed(0)} | ${(b / a).toFixed(2)} |`);
}
console.log(
  `| append until a reader has it, same server (p50, p95, ms) | ${await acrossServers(sqlite, sqlite)} | ${await acrossServers(postgres, postgres)} | |`,
);
console.log(`| the same, reader on another server (p50, p95, ms) | | ${await acrossServers(postgres, other)} | |`);
