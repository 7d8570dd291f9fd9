import type Anthropic from "@anthropic-ai/sdk";
import type { NewEvent } from "@holdfast/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Frame, frames, onPostgres, type TestServer, testServer, until } from "./_server.ts";

let it: TestServer;
let key: string;
let client: Anthropic;
beforeAll(async () => {
  it = await testServer({ heartbeatMs: 100 });
  ({ apiKey: key, client } = await it.account("tester"));
});
afterAll(() => it?.[Symbol.asyncDispose]());

const newSession = async () =>
  (await client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" })).id;
const newSessions = (count: number) => Promise.all(Array.from({ length: count }, newSession));
const says = (text: string): NewEvent => ({ type: "agent.message", content: [{ type: "text", text }] });
const append = (sessionId: string, ...events: NewEvent[]) => it.server.log.append({ sessionId, events });
const open = (query: string, headers: Record<string, string> = {}) =>
  it.fetch(`/v1/events/stream?${query}`, { key, headers });
const follow = async (query: string, headers: Record<string, string> = {}) => frames(await open(query, headers));
const at = (sessionId: string, seq: number) => (frame: Frame) =>
  frame.data.session_id === sessionId && frame.data.seq === seq;
const events = (all: readonly Frame[]) =>
  all.filter(({ event, data }) => event === "message" && "seq" in data).map(({ data }) => [data.session_id, data.seq]);

/** Frames until there is one for each of these. */
async function untilAll(stream: AsyncGenerator<Frame>, wanted: ((frame: Frame) => boolean)[]): Promise<Frame[]> {
  const seen: Frame[] = [];
  while (!wanted.every((matches) => seen.some(matches))) seen.push(...(await until(stream, () => true)));
  return seen;
}

test("the verdict of every session comes first, then their events with session and place", async () => {
  const [a = "", b = "", c = ""] = await newSessions(3);
  await append(a, says("1"), says("2"));
  await append(b, says("1"), says("2"), says("3"));
  const stream = await follow(`sessions=${a}:1,${b}:9&sessions=${c}`);
  const seen = await untilAll(stream, [at(a, 2), at(b, 3)]);
  await append(c, says("live"));
  seen.push(...(await until(stream, at(c, 1))));
  await stream.return(undefined);
  expect(seen[0]).toMatchObject({
    event: "ping",
    data: {
      type: "holdfast.stream",
      sessions: {
        [a]: { verdict: "ok", resumed: true, after: 1, last_seq: 2 },
        [b]: { verdict: "gap", resumed: false, after: 0, last_seq: 3 },
        [c]: { verdict: "ok", resumed: false, after: 0, last_seq: 0 },
      },
    },
  });
  expect(events(seen).filter(([id]) => id === b)).toEqual([1, 2, 3].map((seq) => [b, seq]));
  expect(events(seen).filter(([id]) => id !== b)).toEqual([
    [a, 2],
    [c, 1],
  ]);
  expect(seen.every(({ event, cursor }) => event === "ping" || (cursor?.length ?? 0) > 0)).toBe(true);
});

test("resume by Last-Event-ID is exact per session, from any frame, also when the set has changed", async () => {
  const [a = "", b = "", c = ""] = await newSessions(3);
  for (let n = 0; n < 20; n++) {
    await append(a, says("a"));
    await append(b, says("b"));
    await append(c, says("c"));
  }
  const first = await follow(`sessions=${a}:0,${b}:0`);
  const seen = await untilAll(first, [at(a, 20), at(b, 20)]);
  await first.return(undefined);
  for (const index of [0, 1, 7, 23, seen.length - 1]) {
    const had = events(seen.slice(0, index + 1));
    const cursor = seen[index]?.cursor ?? "";
    const rest = await follow(`sessions=${b}:0,${c}:18`, { "last-event-id": cursor });
    const last = (await append(b, says("end")))[0]?.seq ?? 0;
    const got = events(await untilAll(rest, [at(b, last), at(c, 20)]));
    await rest.return(undefined);
    const from = had.filter(([id]) => id === b).length;
    expect(got.filter(([id]) => id === b)).toEqual(Array.from({ length: last - from }, (_, i) => [b, from + 1 + i]));
    expect(got.filter(([id]) => id === c)).toEqual([
      [c, 19],
      [c, 20],
    ]);
  }
});

test("the place in a hundred sessions stays below 4 KB; one more is refused, and the error says how many", async () => {
  const all = await newSessions(101);
  await Promise.all(all.map((id) => append(id, says("1"))));
  const stream = await follow(`sessions=${all.slice(1).join(",")}`);
  const last = all.at(-1) ?? "";
  const seen = await untilAll(
    stream,
    all.slice(1).map((id) => at(id, 1)),
  );
  await stream.return(undefined);
  expect(Math.max(...seen.map(({ cursor }) => cursor?.length ?? 0))).toBeLessThan(2048);
  const again = await follow(`sessions=${last}`, { "last-event-id": seen.at(-1)?.cursor ?? "" });
  expect((await again.next()).value?.data.sessions[last]).toMatchObject({ verdict: "ok", resumed: true, after: 1 });
  await again.return(undefined);
  const refused = await open(`sessions=${all.join(",")}`);
  expect(refused.status).toBe(400);
  expect(await refused.text()).toContain("one stream follows up to 100 sessions, and this names 101");
}, 60_000);

test("a session that is not there, or another's, is named; only when none is there the answer is 404", async () => {
  const mine = await newSession();
  const other = await it.account("other");
  const session = await other.client.beta.sessions.create({ agent: "agent_default", environment_id: "env_default" });
  await append(mine, says("1"));
  const stream = await follow(`sessions=sesn_gone,${session.id},${mine}`);
  const seen = await until(stream, at(mine, 1));
  await append(session.id, says("secret"));
  await append(mine, says("2"));
  seen.push(...(await until(stream, at(mine, 2))));
  await stream.return(undefined);
  const errors = seen.filter(({ data }) => data.type === "holdfast.stream_error");
  expect(errors.map(({ event, data }) => [event, data.session_id, (data.holdfast as { code: string }).code])).toEqual([
    ["ping", "sesn_gone", "session_not_found"],
    ["ping", session.id, "session_not_found"],
  ]);
  expect(events(seen)).toEqual([
    [mine, 1],
    [mine, 2],
  ]);
  const none = await open(`sessions=sesn_gone,${session.id}`);
  expect(none.status).toBe(404);
  expect(await none.json()).toMatchObject({ code: "session_not_found", detail: expect.stringContaining("sesn_gone") });
  for (const query of ["", "sessions=", "sessions=a:b", `sessions=${mine}&after=12`, `sessions=${mine}&event_deltas=x`])
    expect((await open(query)).status, query).toBe(400);
});

test("a session that is deleted says so and the others go on; the stream ends with the last one", async () => {
  const [a = "", b = ""] = await newSessions(2);
  const stream = await follow(`sessions=${a},${b}`);
  await stream.next();
  await expect.poll(() => it.server.log.listenerCount(a)).toBe(1);
  await client.beta.sessions.delete(a);
  const seen = await until(stream, ({ data }) => data.type === "session.deleted");
  expect(seen.at(-1)?.data.session_id).toBe(a);
  await append(b, says("goes on"));
  await until(stream, ({ data }) => data.session_id === b && data.type === "agent.message");
  await client.beta.sessions.delete(b);
  await until(stream, ({ data }) => data.type === "session.deleted");
  const rest: Frame[] = [];
  for await (const frame of stream) rest.push(frame);
  expect(rest.filter(({ event }) => event !== "ping")).toEqual([]);
});

test("drafts come with their session, and only of those that were asked for", async () => {
  const [a = "", b = ""] = await newSessions(2);
  const stream = await follow(`sessions=${a},${b}&event_deltas=agent.message&deltas_of=${a}`);
  await stream.next();
  await expect.poll(() => it.server.log.listenerCount(b)).toBe(1);
  for (const id of [a, b])
    it.server.log.publishDraft(id, { type: "event_start", event: { type: "agent.message", id: `sevt_${id}` } });
  await append(b, says("b"));
  await append(a, says("a"));
  const seen = await untilAll(stream, [at(a, 1), at(b, 1)]);
  await stream.return(undefined);
  for (const id of [a, b]) it.server.log.clearDrafts(id);
  const drafts = seen.filter(({ data }) => data.type === "event_start");
  expect(drafts.map(({ data, cursor }) => [data.session_id, cursor])).toEqual([[a, undefined]]);
});

test("a flood in one session keeps no other waiting, neither in the past nor live", { timeout: 120_000 }, async () => {
  const [flood = "", calm = ""] = await newSessions(2);
  for (let n = 0; n < 6; n++) await append(flood, ...Array.from({ length: 500 }, () => says("x")));
  await append(calm, says("1"), says("2"), says("3"));
  const stream = await follow(`sessions=${flood}:0,${calm}:0`);
  const past = await until(stream, at(calm, 3));
  const floodedIn = (frames: readonly Frame[]) => events(frames).filter(([id]) => id === flood);
  // PostgreSQL answers both at about the same time: whole pages may come before the other's first.
  expect(floodedIn(past).length).toBeLessThan(onPostgres() ? 3_000 : 20);
  const old = await until(stream, at(flood, 3_000));
  // Nobody reads meanwhile, and sockets and buffers on the way hold a part of it: what comes later was sent later.
  const large = "x".repeat(32_000);
  for (let n = 0; n < 10; n++) await append(flood, ...Array.from({ length: 50 }, () => says(large)));
  await append(calm, says("4"));
  const rest = await until(stream, at(calm, 4));
  expect(floodedIn(rest).length).toBeLessThan(400);
  const end = await until(stream, at(flood, 3_500));
  await stream.return(undefined);
  const all = floodedIn([...past, ...old, ...rest, ...end]);
  expect(all).toEqual(Array.from({ length: 3_500 }, (_, i) => [flood, i + 1]));
});

test("more sessions with a past than are read at once: all of it comes, and what is said meanwhile", async () => {
  const all = await newSessions(20);
  for (const id of all) await append(id, ...Array.from({ length: 30 }, () => says("past")));
  const stream = await follow(`sessions=${all.map((id) => `${id}:0`).join(",")}`);
  const seen = [...(await until(stream, ({ event }) => event === "message"))];
  for (const id of all) await append(id, says("live"));
  seen.push(
    ...(await untilAll(
      stream,
      all.map((id) => at(id, 31)),
    )),
  );
  await stream.return(undefined);
  for (const id of all)
    expect(events(seen).filter(([of]) => of === id)).toEqual(Array.from({ length: 31 }, (_, i) => [id, i + 1]));
});

test("a client that drops leaves no listener behind: while it waits, and in the middle of the past", async () => {
  const [a = "", b = ""] = await newSessions(2);
  const listeners = () => it.server.log.listenerCount(a) + it.server.log.listenerCount(b);
  for (let n = 0; n < 4; n++) await append(b, ...Array.from({ length: 500 }, () => says("x".repeat(20_000))));
  for (const query of [`sessions=${a},${b}:2000`, `sessions=${a},${b}:0`]) {
    const gone = new AbortController();
    const open = () =>
      fetch(`${it.url}/v1/events/stream?${query}`, { headers: { "x-api-key": key }, signal: gone.signal });
    const responses = await Promise.all([open(), open(), open()]);
    await Promise.all(responses.map((response) => until(frames(response), () => true)));
    await expect.poll(listeners).toBe(6);
    gone.abort();
    await expect.poll(listeners).toBe(0);
  }
});

test("a reader that does not read is let go with all of its sessions, however they share the flood", async () => {
  const all = await newSessions(10);
  const stream = await follow(`sessions=${all.join(",")}`);
  await stream.next();
  const listeners = () => all.reduce((count, id) => count + it.server.log.listenerCount(id), 0);
  await expect.poll(listeners).toBe(10);
  const big = says("x".repeat(1_000_000));
  let sent = 0;
  for (; sent < 200 && listeners() === 10; sent++) await append(all[sent % 10] ?? "", big);
  expect(sent).toBeLessThan(60);
  const seen = await until(stream, ({ event }) => event === "error");
  expect(seen.at(-1)?.data).toMatchObject({ holdfast: { code: "consumer_too_slow" } });
  await expect.poll(listeners).toBe(0);
  const cursor = seen.findLast((frame) => frame.cursor !== undefined)?.cursor ?? "";
  const again = await follow(`sessions=${all.join(",")}`, { "last-event-id": cursor });
  const counts = new Map(all.map((id, index) => [id, Math.floor((sent - 1 - index) / 10) + 1]));
  const rest = await untilAll(
    again,
    all.map((id) => at(id, counts.get(id) ?? 0)).filter((matches) => !seen.some(matches)),
  );
  await again.return(undefined);
  for (const id of all)
    expect(events([...seen, ...rest]).filter(([of]) => of === id)).toEqual(
      Array.from({ length: counts.get(id) ?? 0 }, (_, i) => [id, i + 1]),
    );
}, 60_000);

test("the official SDK's reader skips verdicts, errors of sessions and heartbeats", async () => {
  const id = await newSession();
  const stream = await client.get<AsyncIterable<{ type: string }>>(`/v1/events/stream?sessions=${id},sesn_gone`, {
    stream: true,
  });
  const types: string[] = [];
  const late = until(await follow(`sessions=${id}`), ({ data }) => data.type === "ping").then(() =>
    append(id, says("hi")),
  );
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === "agent.message") break;
  }
  await late;
  expect(types).toEqual(["agent.message"]);
});
