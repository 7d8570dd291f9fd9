import { newId } from "@holdfast/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Accounts } from "../src/domain/accounts/accounts.ts";
import { ApiKeys } from "../src/domain/accounts/keys.ts";
import { Retention } from "../src/domain/retention.ts";
import type { SandboxState, SyncState } from "../src/ports/database.ts";
import { logger, type Node, type TestDatabase, testDatabase } from "./_databases.ts";

const dayMs = 24 * 60 * 60 * 1000;
const keptMs = 30 * dayMs;
const now = 1_000 * dayMs;
const clock = { now: () => now };
const old = now - keptMs - 1;
/** Not even in the round of an hour later. */
const young = now - keptMs + 2 * 60 * 60 * 1000;
const { signal } = new AbortController();

describe.each(["sqlite", "postgres"] as const)("%s", (kind) => {
  let database: TestDatabase;
  let node: Node;
  let accountId: string;
  let retention: Retention;
  beforeAll(async () => {
    database = await testDatabase(kind);
    node = await database.open();
    ({ id: accountId } = await new Accounts({ db: node.db, clock }).ensureDefault());
  });
  beforeEach(() => {
    retention = new Retention({ db: node.db, clock, keptMs });
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  let made = 0;
  async function workspace(times: { deleted?: number; purged?: number } = {}): Promise<string> {
    const id = newId("workspace");
    const row = { id, account_id: accountId, name: `w${made++}`, files_volume: `${id}-f`, state_volume: `${id}-s` };
    const ends = { deleted_at: times.deleted ?? null, purged_at: times.purged ?? null };
    await node.db
      .insertInto("workspaces")
      .values({ ...row, ...ends, created_at: 1 })
      .execute();
    return id;
  }

  async function sandbox(
    workspaceId: string,
    { state, made: created_at, ended: updated_at }: { state: SandboxState; made: number; ended: number },
  ): Promise<string> {
    const id = newId("sandbox");
    const row = { id, workspace_id: workspaceId, account_id: accountId, state, provider_id: `sb-${id}` };
    await node.db
      .insertInto("sandboxes")
      .values({ ...row, tags_json: "{}", created_at, updated_at })
      .execute();
    return id;
  }

  async function save(workspaceId: string, state: SyncState, created_at: number): Promise<string> {
    const id = newId("sync");
    const row = { id, account_id: accountId, workspace_id: workspaceId, session_id: "", timestamp: made++, state };
    await node.db
      .insertInto("syncs")
      .values({ ...row, manifest_json: null, created_at })
      .execute();
    return id;
  }

  async function rule(workspaceId: string, deleted_at: number | null): Promise<string> {
    const id = newId("rule");
    const row = { id, account_id: accountId, workspace_id: workspaceId, rule: `Bash(${id})`, session_id: "s" };
    await node.db
      .insertInto("permission_rules")
      .values({ ...row, created_by: "k", created_at: 1, deleted_at })
      .execute();
    return id;
  }

  const ids = async (table: "sandboxes" | "syncs" | "api_keys" | "permission_rules" | "workspaces") =>
    (await node.db.selectFrom(table).select("id").execute()).map(({ id }) => id);

  test("sandboxes go when they were made and have ended long ago, and none that may live or whose tokens may", async () => {
    const at = await workspace();
    const gone = await sandbox(at, { state: "ended", made: old, ended: old });
    const kept = [
      await sandbox(at, { state: "running", made: old, ended: old }),
      await sandbox(at, { state: "wanted", made: old, ended: old }),
      await sandbox(at, { state: "ended", made: young, ended: young }),
      await sandbox(at, { state: "ended", made: old, ended: now - 6 * dayMs }),
    ];
    expect(await retention.round(signal)).toMatchObject({ sandboxes: 1, workspaces: 0 });
    expect(await ids("sandboxes")).toEqual(expect.arrayContaining(kept));
    expect(await ids("sandboxes")).not.toContain(gone);
  });

  test("finished saves and rules that were taken back go; what is open or stands does not", async () => {
    const at = await workspace();
    const over = await Promise.all((["done", "warning", "failed"] as const).map((state) => save(at, state, old)));
    const open = [await save(at, "running", old), await save(at, "committing", old), await save(at, "done", young)];
    const back = await rule(at, old);
    const stands = [await rule(at, null), await rule(at, young)];
    expect(await retention.round(signal)).toMatchObject({ syncs: 3, permission_rules: 1 });
    expect((await ids("syncs")).toSorted()).toEqual(open.toSorted());
    expect(over).toHaveLength(3);
    expect((await ids("permission_rules")).toSorted()).toEqual(stands.toSorted());
    expect(stands).not.toContain(back);
  });

  test("revoked keys are no longer listed after that; valid ones are, however old", async () => {
    const keys = new ApiKeys({ db: node.db, clock, bus: node.bus, logger });
    const [first, second, third] = await Promise.all(["a", "b", "c"].map((name) => keys.create(accountId, name)));
    if (first === undefined || second === undefined || third === undefined) throw new Error("no keys");
    await node.db.updateTable("api_keys").set({ created_at: 1 }).execute();
    for (const { id } of [first, second]) await keys.revoke(accountId, id);
    await node.db.updateTable("api_keys").set({ revoked_at: old }).where("id", "=", first.id).execute();
    await node.db.updateTable("api_keys").set({ revoked_at: young }).where("id", "=", second.id).execute();
    expect(await retention.round(signal)).toMatchObject({ api_keys: 1 });
    const { data } = await keys.list(accountId, { limit: 100 });
    expect(data.map(({ name }) => name).toSorted()).toEqual(["b", "c"]);
    expect(await keys.isValid(first.id)).toBe(false);
  });

  test("a deleted workspace goes with what is noted of it, once its volumes are gone and nothing names it", async () => {
    const gone = await workspace({ deleted: old, purged: old });
    const kept = [
      await workspace(),
      await workspace({ deleted: old }),
      await workspace({ deleted: young, purged: young }),
      await workspace({ deleted: old, purged: old }),
      await workspace({ deleted: old, purged: old }),
    ];
    const [living = "", , , withSandbox = "", withSession = ""] = kept;
    await sandbox(withSandbox, { state: "ended", made: young, ended: young });
    const create = { agent: "agent_default", environment_id: "env_default" };
    const session = await node.sessions.create(accountId, create, { retryCount: 0, bodyHash: "x" });
    await node.db.updateTable("sessions").set({ workspace_id: withSession }).where("id", "=", session.id).execute();
    const rules = [await rule(gone, null), await rule(living, null)];
    for (const workspace_id of [gone, living])
      await node.db.insertInto("erasures").values({ workspace_id, claude_session_id: "c", created_at: 1 }).execute();
    expect(await retention.round(signal)).toMatchObject({ workspaces: 1 });
    expect(await ids("workspaces")).toEqual(expect.arrayContaining(kept));
    expect(await ids("workspaces")).not.toContain(gone);
    expect(await ids("permission_rules")).toContain(rules[1]);
    expect(await ids("permission_rules")).not.toContain(rules[0]);
    const erasures = await node.db.selectFrom("erasures").select("workspace_id as id").execute();
    expect(erasures).toEqual([{ id: living }]);
    // When the session is deleted, the workspace's time has come.
    await node.sessions.delete(accountId, session.id);
    expect(await new Retention({ db: node.db, clock, keptMs }).round(signal)).toMatchObject({ workspaces: 1 });
  });

  test("however many there are, one round takes all; the next comes an hour later", async () => {
    const at = await workspace({ deleted: old, purged: old });
    const row = { workspace_id: at, account_id: accountId, state: "ended" as const, tags_json: "{}" };
    const times = { created_at: old, updated_at: old };
    for (let n = 0; n < 25; n++) {
      const rows = Array.from({ length: 100 }, () => ({ ...row, ...times, id: newId("sandbox"), provider_id: null }));
      await node.db.insertInto("sandboxes").values(rows).execute();
    }
    let nowMs = now;
    const timed = new Retention({ db: node.db, clock: { now: () => nowMs }, keptMs });
    expect(await timed.round(signal)).toMatchObject({ sandboxes: 2_500, workspaces: 1 });
    await save(await workspace(), "done", old);
    expect(await timed.round(signal)).toEqual({});
    nowMs += 60 * 60 * 1000;
    expect(await timed.round(signal)).toMatchObject({ syncs: 1 });
  });
});
