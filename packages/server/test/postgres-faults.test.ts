/** Connections that die, servers of the database that go and come back: nothing lost, nothing doubled, nobody hangs. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { NewEvent } from "@holdfast/protocol";
import { startPostgres, type TestPostgres } from "@holdfast/testkit/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Accounts } from "../src/domain/accounts/accounts.ts";
import { systemClock as clock } from "../src/ports/clock.ts";
import { isDatabaseAway } from "../src/ports/database.ts";
import { type Node, openDatabaseNode, readAll } from "./_databases.ts";
import { frames, testServer, until, userMessage } from "./_server.ts";

let cluster: TestPostgres;
beforeAll(async () => {
  cluster = await startPostgres();
});
afterAll(() => cluster?.[Symbol.asyncDispose]());

const says = (text: string): NewEvent => ({ type: "agent.message", content: [{ type: "text", text }] });
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const textOf = (event: object) => (event as { content?: [{ text: string }] }).content?.[0].text;
const tick = () => new Promise((resolve) => setImmediate(resolve));

async function servers(): Promise<AsyncDisposable & { one: Node; two: Node; sessionId: string }> {
  const databaseUrl = await cluster.createDatabase();
  const [one, two] = [await openDatabaseNode({ databaseUrl }), await openDatabaseNode({ databaseUrl })];
  const { id } = await new Accounts({ db: one.db, clock }).ensureDefault();
  const input = { agent: "agent_default", environment_id: "env_default" };
  const session = await one.sessions.create(id, input, { retryCount: 0, bodyHash: "a" });
  return {
    one,
    two,
    sessionId: session.id,
    [Symbol.asyncDispose]: async () => {
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

/** Two servers append `count` events each while `disturb` runs again and again; then everything is compared. */
async function appendUnder(disturb: () => Promise<unknown>, count: number): Promise<number> {
  await using it = await servers();
  const { one, two, sessionId } = it;
  const patience = AbortSignal.timeout(100_000);
  const readers = Promise.all([one, two].map(({ log }) => readThrough(log, sessionId, 2 * count)));
  // Looked at in the end; a failure before that is another one's consequence.
  readers.catch(() => undefined);
  const stored = new Map<number, string>();
  const write = async ({ log }: Node, name: string) => {
    for (const n of numbers(count)) {
      const [event] = await log.append({ sessionId, events: [says(`${name}${n}`)] }, { patience });
      if (event !== undefined) stored.set(event.seq, `${name}${n}`);
    }
  };
  let writing = true;
  const writers = Promise.all([write(one, "a"), write(two, "b")]).finally(() => (writing = false));
  let disturbed = 0;
  while (writing) {
    await disturb();
    disturbed += 1;
    await tick();
  }
  await writers;
  const events = await readAll(one.log, sessionId, 2 * count);
  expect(events.map(({ seq }) => seq)).toEqual(numbers(2 * count));
  // Each once, each server's in its order, and where its writer was told that it is.
  for (const name of ["a", "b"]) {
    const own = events.map(textOf).filter((text) => text?.startsWith(name));
    expect(own).toEqual(numbers(count).map((n) => `${name}${n}`));
  }
  expect(events.map(textOf)).toEqual(events.map(({ seq }) => stored.get(seq)));
  for (const seqs of await readers) expect(seqs).toEqual(numbers(2 * count));
  expect(one.log.listenerCount() + two.log.listenerCount()).toBe(0);
  return disturbed;
}

/** As a client does: a stream that fails is opened again where it was. */
async function readThrough(log: Node["log"], sessionId: string, count: number): Promise<number[]> {
  const seqs: number[] = [];
  const signal = AbortSignal.timeout(100_000);
  while (seqs.length < count) {
    try {
      for await (const frame of log.read({ sessionId, after: seqs.at(-1) ?? 0, signal })) {
        if (frame.kind === "event") seqs.push(frame.event.seq);
        if (seqs.length === count) break;
      }
    } catch (error) {
      if (signal.aborted) throw error;
    }
  }
  return seqs;
}

const killSome = () =>
  cluster.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where usename = 'holdfast' and random() < 0.4`,
  );

test("connections are cut at random moments of hundreds of appends", async () => {
  expect(await appendUnder(killSome, 300)).toBeGreaterThan(3);
}, 120_000);

test("PostgreSQL is ended as by a power cut, again and again, in the middle of appends", async () => {
  let restarts = 0;
  const restart = async () => {
    if (restarts++ < 3) await cluster.restart("immediate");
  };
  await appendUnder(restart, 400);
  expect(restarts).toBeGreaterThan(3);
}, 120_000);

test("without the database a client gets a 503 in time; the same request counts once when it is back; streams go on", async () => {
  const databaseUrl = await cluster.createDatabase();
  await using it = await testServer({ databaseUrl, heartbeatMs: 200 });
  const { client, apiKey: key } = await it.account("tester");
  const { id } = await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  const send = (words: string, idempotencyKey: string) =>
    it.fetch(`/v1/sessions/${id}/events`, {
      key,
      method: "POST",
      body: JSON.stringify(userMessage(words)),
      headers: { "idempotency-key": idempotencyKey },
    });
  const stream = frames(await it.fetch(`/v1/sessions/${id}/events/stream`, { key }));
  await stream.next();
  expect((await send("before", "k1")).status).toBe(200);
  await until(stream, ({ data }) => data.type === "user.message");
  await cluster.stop("immediate");
  const begun = performance.now();
  const refused = await send("meanwhile", "k2");
  expect(performance.now() - begun).toBeLessThan(15_000);
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("2");
  expect(await refused.json()).toMatchObject({
    error: { type: "overloaded_error" },
    holdfast: { code: "database_unavailable" },
  });
  const ready = await it.fetch("/ready");
  expect(ready.status).toBe(503);
  await cluster.start();
  const [first, second] = [await send("meanwhile", "k2"), await send("meanwhile", "k2")];
  expect([first.status, second.status]).toEqual([200, 200]);
  expect(await first.json()).toEqual(await second.json());
  const seen = await until(stream, ({ data }) => JSON.stringify(data).includes("meanwhile"));
  await stream.return(undefined);
  expect(seen.filter(({ event }) => event === "error")).toEqual([]);
}, 60_000);

test("a request whose commit was in flight when its connection died counts once", async () => {
  const databaseUrl = await cluster.createDatabase();
  await using it = await testServer({ databaseUrl });
  const { client, apiKey: key } = await it.account("tester");
  const { id } = await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  const answers = new Map<string, string>();
  const send = async (n: number) => {
    const body = JSON.stringify({ events: [{ type: "user.interrupt" }] });
    for (;;) {
      const headers = { "idempotency-key": `k${n}` };
      const response = await it.fetch(`/v1/sessions/${id}/events`, { key, method: "POST", body, headers });
      const { data, holdfast } = (await response.json()) as { data?: { id: string }[]; holdfast?: { code: string } };
      if (response.status === 200) return answers.set(`k${n}`, data?.[0]?.id ?? "");
      expect(holdfast?.code).toBe("database_unavailable");
    }
  };
  for (const n of numbers(100)) {
    const [cut] = await Promise.allSettled([killSome(), send(n)]);
    expect(cut.status).toBe("fulfilled");
  }
  const events = (await readAll(it.server.log as Node["log"], id, 100)).map((event) => event.id);
  expect(events).toEqual([...answers.values()]);
  const { holdfast } = (await it.fetch(`/v1/sessions/${id}`, { key }).then((r) => r.json())) as {
    holdfast: { last_seq: number };
  };
  expect(holdfast.last_seq).toBe(100);
}, 120_000);

/** Between a server and its database; while armed, it cuts the next connection that says COMMIT: after it, or before. */
async function commitCutter(url: string) {
  const { port } = new URL(url);
  let armed: "before" | "after" | undefined;
  let cuts = 0;
  const proxy = createServer((client) => {
    const upstream = connect(Number(port), "127.0.0.1");
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    let committing = false;
    client.on("data", (bytes) => {
      const commits = armed !== undefined && bytes.includes("commit");
      if (commits) cuts += 1;
      if (commits && armed === "before") return end();
      committing ||= commits;
      return upstream.write(bytes);
    });
    upstream.on("data", (bytes) => (committing ? end() : client.write(bytes)));
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  const through = new URL(url);
  through.port = String((proxy.address() as AddressInfo).port);
  return {
    url: through.href,
    get cuts() {
      return cuts;
    },
    async armed<T>(when: "before" | "after", work: () => Promise<T>): Promise<T> {
      armed = when;
      // Once: what comes after the cut goes through.
      const result = work();
      await expect.poll(() => cuts, { interval: 2 }).toBeGreaterThan(0);
      armed = undefined;
      cuts = 0;
      return await result;
    },
    [Symbol.asyncDispose]: async () => {
      proxy.close();
    },
  };
}

test.each(["before", "after"] as const)(
  "a commit that is cut off %s it counted is stored once, and shown",
  async (when) => {
    const url = await cluster.createDatabase();
    await using proxy = await commitCutter(url);
    await using node = await openDatabaseNode({ databaseUrl: proxy.url });
    const { id } = await new Accounts({ db: node.db, clock }).ensureDefault();
    const input = { agent: "agent_default", environment_id: "env_default" };
    const session = await node.sessions.create(id, input, { retryCount: 0, bodyHash: "a" });
    const reader = readAll(node.log, session.id, 3);
    await node.log.append({ sessionId: session.id, events: [says("0")] });
    const patience = AbortSignal.timeout(20_000);
    const [event] = await proxy.armed(when, () =>
      node.log.append({ sessionId: session.id, events: [says("1")] }, { patience }),
    );
    expect(event?.seq).toBe(2);
    const target = { accountId: id, sessionId: session.id, by: "tester" };
    const identity = { key: "k", retryCount: 0, bodyHash: "a" };
    const stop = { events: [{ type: "user.interrupt" as const }] };
    const sent = await proxy.armed(when, () => node.sessions.send(target, stop, identity).catch((error) => error));
    const again = await node.sessions.send(target, stop, identity);
    expect(again.data[0]).toMatchObject({ seq: 3, type: "user.interrupt" });
    // Without patience: one that counted is told so; the other is the client's to repeat.
    if (when === "after") expect(sent).toEqual(again);
    else expect(isDatabaseAway(sent)).toBe(true);
    expect((await reader).map(({ seq }) => seq)).toEqual([1, 2, 3]);
  },
);

test("a reader on another server that never reads holds no memory", async () => {
  await using it = await servers();
  const { one, two, sessionId } = it;
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const left = new AbortController();
  const reader = two.log.read({ sessionId, after: 0, signal: left.signal })[Symbol.asyncIterator]();
  await one.log.append({ sessionId, events: [says("first")] });
  await reader.next();
  collect();
  const before = process.memoryUsage().heapUsed;
  const text = "x".repeat(100_000);
  for (const _ of numbers(100)) await one.log.append({ sessionId, events: numbers(6).map(() => says(text)) });
  // The last word has come through: both servers hear on connections of their own.
  const [last] = await one.log.append({ sessionId, events: [says("last")] });
  collect();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * 1024 * 1024);
  const rest: number[] = [];
  for (let next = await reader.next(); !next.done; next = await reader.next()) {
    if (next.value.kind === "event") rest.push(next.value.event.seq);
    if (rest.at(-1) === last?.seq) break;
  }
  expect(rest).toEqual(numbers(602).slice(1));
  await reader.return?.(undefined);
  left.abort();
  expect(two.log.listenerCount()).toBe(0);
}, 60_000);

test("a database that cannot be used is explained at the start, without its password", async () => {
  const good = new URL(await cluster.createDatabase());
  const open = async (change: (url: URL) => void) => {
    const url = new URL(good);
    change(url);
    const error = await openDatabaseNode({ databaseUrl: url.href }).catch((reason: unknown) => reason);
    const { name, message, todo } = error as Error & { todo: string };
    expect(name).toBe("DatabaseOpenError");
    expect(`${message}${todo}`).not.toMatch(/only-for-tests|s3cret/);
    return `${message} | ${todo}`;
  };
  expect(await open((url) => (url.password = "s3cret"))).toMatch(/cannot be used: password.*DATABASE_URL/s);
  expect(await open((url) => (url.pathname = "/nothing"))).toMatch(/"nothing" does not exist.*createdb/s);
  expect(await open((url) => (url.port = "1"))).toMatch(
    /127\.0\.0\.1:1\/holdfast.*cannot be reached: .*ECONNREFUSED.*Start/s,
  );
}, 60_000);

test("a database that answers nothing at all keeps no request for ever, and is used again when it does", async () => {
  const databaseUrl = await cluster.createDatabase();
  await using it = await testServer({ databaseUrl });
  const { apiKey: key } = await it.account("tester");
  const freeze = (signal: "STOP" | "CONT") => cluster.signal(signal);
  await freeze("STOP");
  try {
    const begun = performance.now();
    const refused = await it.fetch("/v1/sessions", { key });
    expect(refused.status).toBe(503);
    expect(performance.now() - begun).toBeLessThan(40_000);
  } finally {
    await freeze("CONT");
  }
  await expect.poll(async () => (await it.fetch("/v1/sessions", { key })).status, { timeout: 30_000 }).toBe(200);
}, 120_000);
