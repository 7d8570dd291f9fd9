/** Streams of one server, fed by another. */
import type { NewEvent } from "@holdfast/protocol";
import { startPostgres, type TestPostgres } from "@holdfast/testkit/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { frames, type TestServer, testServer, until } from "./_server.ts";

let cluster: TestPostgres;
let one: TestServer;
let two: TestServer;
let key: string;
let newSession: () => Promise<string>;
beforeAll(async () => {
  cluster = await startPostgres();
  const databaseUrl = await cluster.createDatabase();
  one = await testServer({ databaseUrl, heartbeatMs: 200 });
  two = await testServer({ databaseUrl, heartbeatMs: 200 });
  const { apiKey, client } = await one.account("tester");
  key = apiKey;
  newSession = async () =>
    (await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" })).id;
});
afterAll(async () => {
  await one?.[Symbol.asyncDispose]();
  await two?.[Symbol.asyncDispose]();
  await cluster?.[Symbol.asyncDispose]();
});

const says = (text: string): NewEvent => ({ type: "agent.message", content: [{ type: "text", text }] });
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const append = (sessionId: string, ...events: NewEvent[]) => one.server.log.append({ sessionId, events });
const upTo = (seq: number) => (frame: { data: Record<string, unknown> }) => frame.data.seq === seq;
const seqs = (seen: { event: string; data: Record<string, unknown> }[]) =>
  seen.filter(({ event }) => event === "message").map(({ data }) => data.seq);

test("what one server commits comes from the other, in order, once, over the cutover from the past", async () => {
  const id = await newSession();
  await append(id, ...numbers(700).map((n) => says(`past ${n}`)));
  const writing = (async () => {
    for (const n of numbers(100)) await append(id, says(`live ${n}`), says(`live ${n}+`));
  })();
  const streams = await Promise.all(
    numbers(3).map(async () => frames(await two.fetch(`/v1/sessions/${id}/events/stream?after=10`, { key }))),
  );
  for (const stream of streams) {
    expect(seqs(await until(stream, upTo(900)))).toEqual(numbers(900).slice(10));
    await stream.return(undefined);
  }
  await writing;
  await expect.poll(() => two.server.log.listenerCount()).toBe(0);
});

test("one stream of several sessions, and a connection between the servers that breaks meanwhile", async () => {
  const [a, b] = [await newSession(), await newSession()];
  const stream = frames(await two.fetch(`/v1/events/stream?sessions=${a}:0,${b}:0`, { key }));
  await stream.next();
  await append(a, says("1"));
  await until(stream, ({ data }) => data.session_id === a && data.seq === 1);
  // Whatever is said while nobody listens is found in the table afterwards.
  await cluster.sql(
    "select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' or query = 'select 1'",
  );
  await append(b, says("1"));
  await append(a, says("2"));
  const last = await append(b, says("2"));
  const seen = await until(stream, ({ data }) => data.session_id === b && data.seq === last[0]?.seq);
  const rest =
    seen.some(({ data }) => data.session_id === a && data.seq === 2) ||
    (await until(stream, ({ data }) => data.session_id === a && data.seq === 2));
  expect(rest).toBeTruthy();
  expect(
    seen.filter(({ data }) => data.session_id === b && data.seq !== undefined).map(({ data }) => data.seq),
  ).toEqual([1, 2]);
  await stream.return(undefined);
  await expect.poll(() => two.server.log.listenerCount()).toBe(0);
});

test("clients that drop leave no listener on either server", async () => {
  const id = await newSession();
  const gone = new AbortController();
  const responses = await Promise.all(
    [one, two, two].map(({ url }) =>
      fetch(`${url}/v1/sessions/${id}/events/stream`, { headers: { "x-api-key": key }, signal: gone.signal }),
    ),
  );
  await Promise.all(responses.map((response) => frames(response).next()));
  await expect.poll(() => one.server.log.listenerCount(id) + two.server.log.listenerCount(id)).toBe(3);
  gone.abort();
  await expect.poll(() => one.server.log.listenerCount(id) + two.server.log.listenerCount(id)).toBe(0);
});
