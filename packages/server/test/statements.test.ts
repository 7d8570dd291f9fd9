import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { routes } from "@holdfast/protocol";
import { fillDatabase } from "@holdfast/testkit/many-rows";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase } from "../src/adapters/db/database.ts";
import { openSessions, waitingSessions } from "../src/domain/leases/open-sessions.ts";
import { orphansWithWork } from "../src/domain/leases/orphans.ts";
import { adminKey } from "./_admin.ts";
import { type LocalSystem, localSystem } from "./_local-server.ts";
import { onPostgres } from "./_server.ts";

/** Every statement that was prepared, as Kysely wrote it. */
const seen = new Set<string>();
const prepare = DatabaseSync.prototype.prepare;

let it: LocalSystem;
beforeAll(async () => {
  DatabaseSync.prototype.prepare = function (sql: string) {
    seen.add(sql);
    return prepare.call(this, sql);
  };
  it = await localSystem({ sweepEveryMs: 1_000 });
});
afterAll(async () => {
  DatabaseSync.prototype.prepare = prepare;
  await it?.[Symbol.asyncDispose]();
});

/** What a scan of them costs does not grow with what was ever made. */
const bounded = [
  // Servers that live, and sandboxes that nobody knows: a handful.
  /^SCAN (servers|strays)\b/,
  // The administrator's list of accounts: it reads on from where it was, in the order of the key, a page at a time.
  /^SCAN accounts USING INDEX sqlite_autoindex_accounts_1$/,
  // Indexes over what is open alone.
  /^SCAN \w+ USING (COVERING )?INDEX (messages_open|sessions_running|permissions_open|sandboxes_open|processes_open|processes_by_sandbox|syncs_open|workspaces_unpurged)$/,
  // Of what one of these has found.
  /^SCAN (open|\(subquery-\d+\)|CONSTANT ROW)$/,
  // Within one row's own JSON or list.
  /^SCAN \d+ CONSTANT ROWS?$/,
];

/** Once at a start: all workspaces that the server had before, which may be all there are. */
const inherited = 'select "id" from "workspaces" where "server_id" = ?';

test.skipIf(onPostgres())(
  "no statement that a request or a timer runs reads what was ever made",
  async () => {
    await useEverything();
    expect(seen.size).toBeGreaterThan(100);
    await it.stopServer();
    const file = join(it.dataDir, "server.sqlite");
    fillDatabase(file, { sessions: 2_000, workspaces: 1_000 });
    using db = new DatabaseSync(file);
    for (const statistics of [false, true]) {
      if (statistics) db.exec("analyze");
      const scans = [...seen].filter(isOurs).flatMap((sql) => scansOf(db, sql).map((detail) => `${detail}: ${sql}`));
      expect(scans, statistics ? "with statistics" : "without").toEqual([]);
    }
  },
  120_000,
);

/** Migrations run once, and their table's own housekeeping with them; they are not written by Kysely, which quotes. */
function isOurs(sql: string): boolean {
  return (
    /^(select|insert|update|delete|with)\b/i.test(sql) &&
    sql.includes('"') &&
    !/kysely_migration|sqlite_master|pragma_/.test(sql)
  );
}

function scansOf(db: DatabaseSync, statement: string): string[] {
  const parameters = Array.from(statement.matchAll(/\?/g), () => null);
  const plan = prepare.call(db, `explain query plan ${statement}`).all(...parameters) as { detail: string }[];
  return plan
    .map(({ detail }) => detail)
    .filter((detail) => /^SCAN\b/.test(detail) && !bounded.some((pattern) => pattern.test(detail)))
    .filter(() => statement !== inherited);
}

/** Turns, questions of the queue, every route of the table, and two rounds of every timer. */
async function useEverything(): Promise<void> {
  const session = await it.session();
  await session.send("hello");
  await session.idle();
  await session.send("hello again");
  await session.interrupt();
  await session.idle(2);
  const { key } = it.path(session, "");
  const admin = await adminKey(it.server);
  for (const asking of [key, admin]) {
    for (const { method, path, body } of routes) {
      if (path === "/v1/login" || path.endsWith("/stream") || path.endsWith("/exec")) continue;
      const at = path.replace("{id}", idFor(path, session.id)).replace(/\{\w+\}/, "sevt_00000000000000000000000000");
      const queries = method === "get" ? ["", "?limit=5", "?order=asc", "?page="] : [""];
      for (const query of queries) {
        const answer = await it.server.fetch(`${at}${query}`, {
          method: method.toUpperCase(),
          key: asking,
          ...(body === undefined ? {} : { body: JSON.stringify(bodies[path] ?? {}) }),
        });
        await answer.body?.cancel();
      }
    }
  }
  await filters(key);
  const { id } = await it.server.account("leaves");
  expect((await it.server.fetch(`/v1/accounts/${id}`, { method: "DELETE", key: admin })).status).toBe(200);
  await it.restart();
  const rounds = () => seen.size;
  // Two looks and a sweep of the new server.
  const before = rounds();
  await expect
    .poll(async () => {
      const last = (await (await it.server.fetch("/v1/sweep", { key: admin })).json()) as { last: unknown };
      return last.last !== null && rounds() >= before;
    })
    .toBe(true);
}

const bodies: Record<string, object> = {
  "/v1/accounts": { name: `made-${Math.random()}`.slice(0, 20) },
  "/v1/api_keys": { name: "one" },
  "/v1/workspaces": { name: "one" },
  "/v1/workspaces/{id}": { name: "two" },
  "/v1/agents": { name: "a", model: "claude-x" },
  "/v1/environments": { name: "e" },
  "/v1/sessions": { title: "t" },
  "/v1/sessions/{id}": { title: "u" },
};

function idFor(path: string, sessionId: string): string {
  if (path.startsWith("/v1/sessions")) return path === "/v1/sessions/{id}" ? sessionId : sessionId;
  const [, , noun = ""] = path.split("/");
  const prefix = { workspaces: "wsp", agents: "agent", environments: "env", sandboxes: "sbx", api_keys: "key" }[noun];
  return `${prefix ?? "x"}_00000000000000000000000000`;
}

/** Each changes the statement. */
async function filters(key: string): Promise<void> {
  const at = "2026-01-01T00:00:00Z";
  const made = `created_at[gte]=${at}&created_at[lte]=${at}`;
  const asked = [
    `/v1/sessions?${made}`,
    "/v1/sessions?agent_id=agent_default",
    "/v1/sessions?agent_version=1&statuses=idle&statuses=running",
    "/v1/sessions?include_archived=true&order=asc",
    `/v1/agents?${made}`,
    "/v1/agents?include_archived=true",
    "/v1/environments?include_archived=true",
  ];
  for (const path of asked) expect((await it.server.fetch(path, { key })).status, path).toBe(200);
}

test.skipIf(onPostgres())("what a look for work costs does not follow what was ever made", async () => {
  const costs: number[] = [];
  for (const sessions of [200, 20_000]) {
    const directory = mkdtempSync(join(tmpdir(), "holdfast-look-"));
    const file = join(directory, "server.sqlite");
    try {
      await (await openDatabase(file))[Symbol.asyncDispose]();
      fillDatabase(file, { sessions, workspaces: sessions / 2 });
      await using open = await openDatabase(file);
      await sql`update workspaces set server_id = 'srv_this'`.execute(open.db);
      const look = async () => {
        await waitingSessions(open.db, "srv_this");
        await orphansWithWork(open.db);
        await openSessions(open.db, new Set(["wsp_x"]));
      };
      await look();
      const tries: number[] = [];
      for (let round = 0; round < 10; round++) {
        const before = process.threadCpuUsage();
        await look();
        const { user, system } = process.threadCpuUsage(before);
        tries.push((user + system) / 1000);
      }
      costs.push(Math.min(...tries));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  const [few = 0, many = 0] = costs;
  expect(many, `with few sessions it takes ${few} ms`).toBeLessThanOrEqual(3 * few + 1);
});

test.skipIf(onPostgres())(
  "a server that has more workspaces than a statement has parameters goes on with its work",
  async () => {
    const local = await localSystem();
    try {
      const session = await local.session();
      await local.stopServer();
      const file = join(local.dataDir, "server.sqlite");
      fillDatabase(file, { sessions: 100, workspaces: 40_000 });
      // As a server that was killed leaves them.
      writeFileSync(join(local.dataDir, "server-id"), "srv_killed\n");
      using db = new DatabaseSync(file);
      db.exec("update workspaces set server_id = 'srv_killed'");
      // Begun, and nobody told the next server of it.
      db.exec(`update sessions set status = 'running' where id = '${session.id}'`);
      await local.restart();
      await session.idle();
    } finally {
      await local[Symbol.asyncDispose]();
    }
  },
);
