/** What the rest of the server relies on, the same on both databases. */
import type { NewEvent, SendEvents, SessionCreate } from "@holdfast/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openServerDatabase } from "../src/database.ts";
import { Accounts } from "../src/domain/accounts/accounts.ts";
import { ApiKeys } from "../src/domain/accounts/keys.ts";
import { Agents } from "../src/domain/agents/agents.ts";
import { knownState, storeState } from "../src/domain/claude-state/rows.ts";
import { once } from "../src/domain/idempotency.ts";
import { systemClock } from "../src/ports/clock.ts";
import { StaleGenerationError } from "../src/ports/event-log.ts";
import { logger, type Node, readAll, type TestDatabase, testDatabase } from "./_databases.ts";
import { testCluster } from "./_server.ts";

const clock = systemClock;
const says = (text: string): NewEvent => ({ type: "agent.message", content: [{ type: "text", text }] });
const message = (text: string): SendEvents => ({
  events: [{ type: "user.message", content: [{ type: "text", text }] }],
});
const create: SessionCreate = { agent: "agent_default", environment_id: "env_default" };
const anew = (key?: string) => ({ ...(key === undefined ? {} : { key }), retryCount: 0, bodyHash: "a" });
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
/** NUL, halves of pairs, our own mark, and what is none of it. */
const awkward = "a\u0000b \ud83d c \udc00 \u0001json: ü 🚀";

describe.each(["sqlite", "postgres"] as const)("%s", (kind) => {
  let database: TestDatabase;
  let one: Node;
  let two: Node;
  let accountId: string;
  beforeAll(async () => {
    database = await testDatabase(kind);
    [one, two] = [await database.open(), await database.open()];
    ({ id: accountId } = await new Accounts({ db: one.db, clock }).ensureDefault());
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  const session = async (input: Partial<SessionCreate> = {}) =>
    (await one.sessions.create(accountId, { ...create, ...input }, anew())).id;

  test("what Claude Code said last is kept by session and question, the newest queries of it", async () => {
    const [mine, other] = [await session(), await session()];
    const store = (sessionId: string, query: string, nowMs: number) =>
      one.log.transact(({ tx }) =>
        storeState(tx, { sessionId, name: "files", query }, { json: JSON.stringify({ awkward, nowMs }), nowMs }),
      );
    const known = async (sessionId: string, query: string) =>
      (await knownState(two.db, { sessionId, name: "files", query }))?.answer;
    await store(mine, awkward, 1);
    await store(mine, awkward, 2);
    expect(await known(mine, awkward)).toEqual({ awkward, nowMs: 2 });
    expect([await known(mine, ""), await known(other, awkward)]).toEqual([undefined, undefined]);
    await store(other, "", 3);
    for (const n of numbers(20)) await store(mine, `q${n}`, 10 + n);
    expect([await known(mine, awkward), await known(mine, "q1")]).toEqual([undefined, { awkward, nowMs: 11 }]);
    expect(await known(other, "")).toEqual({ awkward, nowMs: 3 });
  });

  test("a log's numbers are dense; what is rolled back leaves no hole; a lower generation is refused", async () => {
    const sessionId = await session();
    const first = await one.log.append({ sessionId, generation: 2, events: [says("1"), says("2")] });
    expect(first.map(({ seq }) => seq)).toEqual([1, 2]);
    const failing = one.log.transact(async ({ append }) => {
      await append({ sessionId, events: [says("never")], session: { title: "never" } });
      throw new Error("changed my mind");
    });
    await expect(failing).rejects.toThrow("changed my mind");
    await one.db.updateTable("sessions").set({ generation: 3 }).where("id", "=", sessionId).execute();
    const late = one.log.append({ sessionId, generation: 2, events: [says("late")] });
    await expect(late).rejects.toThrow(StaleGenerationError);
    await expect(two.log.transact(({ lock }) => lock(sessionId, 2))).rejects.toThrow(StaleGenerationError);
    await one.log.append({ sessionId, generation: 3, events: [says("3")], session: { status: "running" } });
    expect((await readAll(two.log, sessionId, 3)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(await one.sessions.get(accountId, sessionId)).toMatchObject({
      title: null,
      status: "running",
      holdfast: { last_seq: 3 },
    });
  });

  test("many append at once from two servers: dense, and readers on both see all of it in order", async () => {
    const sessionId = await session();
    const readers = [one, two, two].map(({ log }) => readAll(log, sessionId, 300));
    const texts = new Map<number, string>();
    const write = async ({ log }: Node, name: string) => {
      const work = numbers(100).map(async (n) => {
        const events = n % 2 === 0 ? [says(`${name}${n}`)] : [says(`${name}${n}`), says(`${name}${n}+`)];
        for (const { seq } of await log.append({ sessionId, events })) texts.set(seq, `${name}${n}`);
      });
      await Promise.all(work);
    };
    await Promise.all([write(one, "one"), write(two, "two")]);
    for (const events of await Promise.all(readers)) {
      expect(events.map(({ seq }) => seq)).toEqual(numbers(300));
      expect(new Set(events.map(({ id }) => id)).size).toBe(300);
    }
    expect(texts.size).toBe(300);
    expect(one.log.listenerCount() + two.log.listenerCount()).toBe(0);
  });

  test("a request that comes twice at the same time is done once", async () => {
    let done = 0;
    const ask = (node: Node) =>
      node.db.transaction().execute((tx) =>
        once(tx, { accountId, scope: "test", identity: anew("k1"), nowMs: clock.now() }, async () => {
          done += 1;
          return done;
        }),
      );
    const answers = await Promise.all([ask(one), ask(two), ask(one), ask(two)]);
    expect(answers.map(({ result }) => result)).toEqual([1, 1, 1, 1]);
    expect(answers.filter(({ repeated }) => !repeated)).toHaveLength(1);
    const sessionId = await session();
    const sends = [one, two, one, two].map(({ sessions }) =>
      sessions.send({ accountId, sessionId, by: "tester" }, message("hi"), anew("k2")),
    );
    expect(new Set((await Promise.all(sends)).map(({ data }) => data[0]?.id)).size).toBe(1);
    const { count } = await one.db
      .selectFrom("messages")
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where("session_id", "=", sessionId)
      .executeTakeFirstOrThrow();
    expect(count).toBe(1);
  });

  test("messages from two servers queue in the order of their events, and begin one turn", async () => {
    const sessionId = await session();
    const sends = numbers(20).map((n) =>
      (n % 2 === 0 ? one : two).sessions.send(
        { accountId, sessionId, by: "tester" },
        message(String(n)),
        anew(`m${n}`),
      ),
    );
    await Promise.all(sends);
    const events = (await one.sessions.events(accountId, sessionId, { limit: 100, order: "asc" })).data;
    expect(events.filter(({ type }) => type === "session.status_running")).toHaveLength(1);
    expect(events.map(({ seq }) => seq)).toEqual(numbers(21));
    const queued = await two.db
      .selectFrom("messages")
      .innerJoin("events", "events.id", "messages.event_id")
      .select(["messages.state", "messages.created_at", "events.seq"])
      .where("messages.session_id", "=", sessionId)
      .orderBy("events.seq")
      .execute();
    expect(queued).toHaveLength(20);
    expect(queued.every(({ state, seq }) => state === "queued" && typeof seq === "number")).toBe(true);
    expect(typeof queued[0]?.created_at).toBe("number");
  });

  test("a question is answered once, wherever the answers come in", async () => {
    const sessionId = await session();
    const [asked] = await one.log.append({
      sessionId,
      events: [{ type: "agent.tool_use", name: "Bash", input: {} } as NewEvent],
    });
    const id = asked?.id ?? "";
    await one.db
      .insertInto("permissions")
      .values({
        session_id: sessionId,
        process_id: `prc_${id.slice(5)}`,
        request_id: "r1",
        event_id: id,
        input_json: "{}",
        state: "pending",
        answer_json: null,
        created_at: clock.now(),
      } as never)
      .execute();
    const answer = ({ sessions }: Node, result: "allow" | "deny") =>
      sessions.send(
        { accountId, sessionId, by: "tester" },
        { events: [{ type: "user.tool_confirmation", tool_use_id: id, result }] } as SendEvents,
        anew(`${result}${Math.random()}`),
      );
    const settled = await Promise.allSettled([answer(one, "allow"), answer(two, "deny"), answer(two, "allow")]);
    expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const each of settled)
      if (each.status === "rejected") expect(each.reason).toMatchObject({ code: "confirmation_late" });
  });

  test("names are given once: accounts and workspaces", async () => {
    const [a, b] = [one, two].map(({ db }) => new Accounts({ db, clock }));
    const added = await Promise.allSettled([a?.create("same"), b?.create("same"), a?.create("same")]);
    expect(added.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const each of added)
      if (each.status === "rejected") expect(each.reason).toMatchObject({ code: "account_exists" });
    const defaults = await Promise.all([a?.ensureDefault(), b?.ensureDefault()]);
    expect(new Set(defaults.map((each) => each?.id)).size).toBe(1);
    const metadata = { "holdfast.workspace": "shared" };
    const made = [one, two, one, two].map(({ sessions }) =>
      sessions.create(accountId, { ...create, metadata }, anew(`w${Math.random()}`)),
    );
    await Promise.all(made);
    const rows = await one.db.selectFrom("workspaces").select("id").where("name", "=", "shared").execute();
    expect(rows).toHaveLength(1);
  });

  test("changes of an agent at the same time make one version each", async () => {
    const [a, b] = [one, two].map(({ db }) => new Agents({ db, clock }));
    const agent = await a?.create(accountId, { name: "n", model: "claude-sonnet-4-5" } as never, anew("agent"));
    const id = agent?.id ?? "";
    const change = (agents: Agents | undefined, n: number) => agents?.update(accountId, id, { name: `n${n}` } as never);
    await Promise.all(numbers(8).map((n) => change(n % 2 === 0 ? a : b, n)));
    const { data } = (await b?.versions(accountId, id, { limit: 20 })) ?? { data: [] };
    expect(data.map(({ version }) => version)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
  });

  test("keys: found by their hash, named as they were", async () => {
    const [keys, others] = [one, two].map(({ db, bus }) => new ApiKeys({ db, bus, clock, logger })) as [
      ApiKeys,
      ApiKeys,
    ];
    const made = await keys.create(accountId, awkward);
    const accounts = new Accounts({ db: two.db, clock });
    expect(await accounts.byKey(made.api_key)).toMatchObject({ id: accountId, keyId: made.id });
    expect((await keys.list(accountId, { limit: 100 })).data.at(-1)).toMatchObject({ name: awkward });
    using inUse = others.hold(made.id);
    await keys.revoke(accountId, made.id);
    expect(await accounts.byKey(made.api_key)).toBeUndefined();
    await expect.poll(() => inUse.signal.aborted).toBe(true);
  });

  test("raw bytes come back as they were", async () => {
    const sessionId = await session();
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const row = {
      session_id: sessionId,
      process_id: `prc_${sessionId}`,
      offset: 2 ** 40,
      bytes,
      lines: 1,
      blobs_json: null,
    };
    await one.db.insertInto("raw_batches").values(row).execute();
    const query = two.db.selectFrom("raw_batches").selectAll().where("session_id", "=", sessionId);
    const found = await query.executeTakeFirstOrThrow();
    expect(found.bytes).toBeInstanceOf(Uint8Array);
    expect([...(found.bytes ?? [])]).toEqual([...bytes]);
    expect(found.offset).toBe(2 ** 40);
  });

  test("text with NUL and halves of surrogate pairs comes back from everywhere as it was", async () => {
    const sessionId = await session({ title: awkward, metadata: { note: awkward } });
    expect(await two.sessions.get(accountId, sessionId)).toMatchObject({ title: awkward, metadata: { note: awkward } });
    await one.sessions.send({ accountId, sessionId, by: "tester" }, message(awkward), anew("awkward"));
    const result = {
      type: "agent.tool_result",
      tool_use_id: "t",
      content: [{ type: "text", text: awkward }],
    } as unknown as NewEvent;
    await one.log.append({ sessionId, events: [result, says(awkward)] });
    const { data } = await two.sessions.events(accountId, sessionId, { limit: 100, order: "asc" });
    const texts = data.flatMap((event) => ("content" in event ? JSON.stringify(event.content) : []));
    expect(texts).toHaveLength(3);
    for (const text of texts) expect(JSON.parse(text)).toEqual([{ type: "text", text: awkward }]);
    const replayed = await readAll(two.log, sessionId, 4);
    expect(replayed).toEqual(data);
    const row = await two.db
      .selectFrom("messages")
      .select("content_json")
      .where("session_id", "=", sessionId)
      .execute();
    expect(JSON.parse(row[0]?.content_json ?? "")).toEqual([{ type: "text", text: awkward }]);
  });

  test("what nobody can have stored is not found, not an error", async () => {
    for (const id of ["sesn_\0", "\ud800"]) {
      const rows = await one.db.selectFrom("sessions").select("id").where("id", "=", id).execute();
      expect(rows).toEqual([]);
    }
  });

  test("a deleted session ends its readers everywhere", async () => {
    const sessionId = await session();
    await one.log.append({ sessionId, events: [says("1")] });
    const types = async ({ log }: Node) => {
      const seen: string[] = [];
      for await (const frame of log.read({ sessionId, after: 0, signal: AbortSignal.timeout(20_000) })) {
        if (frame.kind === "event") seen.push(frame.event.type);
        if (seen.at(-1) === "session.deleted") break;
      }
      return seen;
    };
    const readers = [types(one), types(two)];
    await expect.poll(() => Math.min(...[one, two].map(({ log }) => log.listenerCount(sessionId)))).toBeGreaterThan(0);
    const deleted = await Promise.allSettled([one, two].map(({ sessions }) => sessions.delete(accountId, sessionId)));
    expect(deleted.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const each of deleted)
      if (each.status === "rejected") expect(each.reason).toMatchObject({ code: "session_not_found" });
    // Who deleted it tells of it; the other server's readers end. What was not read by then is gone with it.
    expect((await Promise.all(readers)).flat()).toContain("session.deleted");
  });
});

test("servers that start at once on an empty PostgreSQL bring it up to date once", async () => {
  const databaseUrl = await (await testCluster()).createDatabase();
  const { pino } = await import("pino");
  const open = () => openServerDatabase({ dataDir: "", databaseUrl }, pino({ level: "silent" }));
  const opened = await Promise.all([open(), open(), open()]);
  const done = await opened[0]?.db
    .selectFrom("kysely_migration" as never)
    .selectAll()
    .execute();
  expect(done?.length).toBeGreaterThan(2);
  for (const each of opened) await each[Symbol.asyncDispose]();
});
