import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { DbEventLog } from "../src/adapters/db/event-log.ts";
import { openBus, openServerDatabase } from "../src/database.ts";
import { Sessions } from "../src/domain/sessions/sessions.ts";
import { systemClock } from "../src/ports/clock.ts";
import type { Database } from "../src/ports/database.ts";
import type { ServerBus } from "../src/ports/server-bus.ts";
import { testCluster } from "./_server.ts";

/** What a server has of its database. */
export interface Node extends AsyncDisposable {
  db: Database;
  bus: ServerBus;
  log: DbEventLog;
  sessions: Sessions;
}

/** One empty database, and as many servers' ends of it as a test wants. */
export interface TestDatabase extends AsyncDisposable {
  url: string | undefined;
  open(): Promise<Node>;
}

export const logger = pino({ level: process.env.TEST_LOG ?? "silent" }, pino.destination(2));
const noTurns = {
  wake: () => undefined,
  interrupt: () => undefined,
  answer: () => undefined,
  drop: () => Promise.resolve(),
};

export async function openDatabaseNode(given: { dataDir?: string; databaseUrl?: string }): Promise<Node> {
  const choice = { dataDir: "", ...given };
  await using stack = new AsyncDisposableStack();
  const { db } = stack.use(await openServerDatabase(choice, logger));
  const bus = stack.use(openBus(choice, db, logger));
  const log = stack.use(new DbEventLog(db, { clock: systemClock, bus }));
  const sessions = new Sessions({
    db,
    log,
    clock: systemClock,
    installationId: "test",
    permissionMode: "bypassPermissions",
    turns: noTurns as never,
    erasures: { erase: async () => undefined },
  });
  const held = stack.move();
  return { db, bus, log, sessions, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** PostgreSQL: each server has its own connections. SQLite belongs to one server: the others are the same. */
export async function testDatabase(kind: "sqlite" | "postgres"): Promise<TestDatabase> {
  const dataDir = mkdtempSync(join(tmpdir(), "holdfast-db-"));
  const stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const url = kind === "sqlite" ? undefined : await (await testCluster()).createDatabase();
  const choice = { dataDir, ...(url === undefined ? {} : { databaseUrl: url }) };
  let only: Promise<Node> | undefined;
  const open = async () => stack.use(await openDatabaseNode(choice));
  return {
    url,
    open: () => {
      if (kind === "postgres") return open();
      only ??= open();
      return only;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Everything of a session's log, read as a stream until `count` events have come. */
export async function readAll(log: DbEventLog, sessionId: string, count: number, timeoutMs = 30_000) {
  const events: { seq: number; id: string; type: string }[] = [];
  for await (const frame of log.read({ sessionId, after: 0, signal: AbortSignal.timeout(timeoutMs) })) {
    if (frame.kind === "event") events.push(frame.event);
    if (events.length === count) break;
  }
  return events;
}
