import type Anthropic from "@anthropic-ai/sdk";
import type { NewEvent } from "@holdfast/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { frames, type TestServer, testServer, until } from "./_server.ts";

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
const says = (text: string): NewEvent => ({ type: "agent.message", content: [{ type: "text", text }] });
const append = (sessionId: string, ...events: NewEvent[]) => it.server.log.append({ sessionId, events });
const open = (id: string, query = "", headers: Record<string, string> = {}) =>
  it.fetch(`/v1/sessions/${id}/events/stream${query}`, { key, headers });
const seqs = (all: { event: string; data: Record<string, unknown> }[]) =>
  all.filter(({ event, data }) => event === "message" && "seq" in data).map(({ data }) => data.seq);
const upTo = (seq: number) => (frame: { data: Record<string, unknown> }) => frame.data.seq === seq;

test("frames: event, id and data; a heartbeat and the verdict are pings", async () => {
  const id = await newSession();
  await append(id, { type: "user.message", content: [{ type: "text", text: "hi" }] });
  const stream = frames(await open(id));
  const seen = await until(stream, ({ data }) => data.type === "ping");
  await stream.return(undefined);
  expect(seen[0]).toEqual({
    event: "ping",
    data: { type: "holdfast.stream", verdict: "ok", resumed: false, after: 0, last_seq: 1 },
  });
  expect(seen[1]).toMatchObject({ event: "message", id: 1, data: { type: "user.message", seq: 1 } });
  expect(seen.at(-1)?.event).toBe("ping");
});

test("resume gives exactly what is missing, by header and by query, over the cutover to live", async () => {
  const id = await newSession();
  for (let n = 1; n <= 1200; n += 300) await append(id, ...Array.from({ length: 300 }, (_, i) => says(`${n + i}`)));
  for (const response of [open(id, "", { "last-event-id": "397" }), open(id, "?after=397")]) {
    const stream = frames(await response);
    const live = (async () => {
      for (let n = 0; n < 50; n++) await append(id, says("live"));
    })();
    const { last_seq: last } = await it.server.log
      .append({ sessionId: id, events: [says("end")] })
      .then((e) => ({ last_seq: e[0]?.seq ?? 0 }));
    await live;
    const final = (await append(id, says("final")))[0]?.seq ?? 0;
    const got = seqs(await until(stream, upTo(final)));
    await stream.return(undefined);
    expect(last).toBeGreaterThan(397);
    expect(got).toEqual(Array.from({ length: final - 397 }, (_, i) => 398 + i));
  }
});

test("without a cursor it begins at the last turn; a cursor from the future is said to be unknown", async () => {
  const id = await newSession();
  const user: NewEvent = { type: "user.message", content: [{ type: "text", text: "q" }] };
  await append(id, user, says("1"), user, says("2"));
  const stream = frames(await open(id));
  expect(seqs(await until(stream, upTo(4)))).toEqual([3, 4]);
  await stream.return(undefined);
  const strange = frames(await open(id, "?after=999"));
  const seen = await until(strange, upTo(4));
  await strange.return(undefined);
  expect(seen[0]?.data).toMatchObject({ type: "holdfast.stream", verdict: "gap", resumed: false });
  expect(seqs(seen)).toEqual([3, 4]);
});

test("a cursor whose next events are gone is a gap; one whose next is there is none", async () => {
  const id = await newSession();
  await append(id, says("1"), says("2"), says("3"), says("4"));
  await it.server.log.transact(({ tx }) =>
    tx.deleteFrom("events").where("session_id", "=", id).where("seq", "<", 3).execute(),
  );
  const verdictAfter = async (after: number) => {
    const stream = frames(await open(id, `?after=${after}`));
    const [first] = await until(stream, upTo(4));
    await stream.return(undefined);
    return first?.data;
  };
  expect(await verdictAfter(1)).toMatchObject({ verdict: "gap", resumed: false, last_seq: 4 });
  expect(await verdictAfter(2)).toMatchObject({ verdict: "ok", resumed: true, after: 2 });
  expect(await verdictAfter(3)).toMatchObject({ verdict: "ok", resumed: true, after: 3 });
});

test("drafts come to those who ask, also the text so far to one who joins late; then the event", async () => {
  const id = await newSession();
  const draft = (text: string) =>
    it.server.log.publishDraft(id, {
      type: "event_delta",
      event_id: "sevt_draft1",
      delta: { type: "content_delta", index: 0, content: { type: "text", text } },
    });
  it.server.log.publishDraft(id, { type: "event_start", event: { type: "agent.message", id: "sevt_draft1" } });
  draft("Hel");
  const asked = frames(await open(id, "?event_deltas[]=agent.message"));
  const silent = frames(await open(id));
  await asked.next();
  const started = await until(asked, ({ data }) => data.type === "event_delta");
  expect(started.at(-1)?.data).toMatchObject({ delta: { content: { text: "Hel" } } });
  draft("lo");
  await append(id, { ...says("Hello"), id: "sevt_draft1" } as NewEvent);
  const rest = await until(asked, upTo(1));
  expect(rest.map(({ data }) => data.type)).toEqual(["event_delta", "agent.message"]);
  const plain = await until(silent, upTo(1));
  expect(plain.filter(({ event }) => event === "message").map(({ data }) => data.type)).toEqual(["agent.message"]);
  await asked.return(undefined);
  await silent.return(undefined);
  const late = frames(await open(id, "?event_deltas=agent.message"));
  await append(id, says("next"));
  const after = await until(late, upTo(2));
  await late.return(undefined);
  expect(after.filter(({ data }) => String(data.type).startsWith("event_"))).toEqual([]);
});

test("a reader that leaves leaves no listener behind", async () => {
  const id = await newSession();
  const gone = new AbortController();
  const responses = await Promise.all(
    Array.from({ length: 10 }, () =>
      fetch(`${it.url}/v1/sessions/${id}/events/stream`, { headers: { "x-api-key": key }, signal: gone.signal }),
    ),
  );
  await Promise.all(responses.map((response) => frames(response).next()));
  await expect.poll(() => it.server.log.listenerCount(id)).toBe(10);
  gone.abort();
  await expect.poll(() => it.server.log.listenerCount(id)).toBe(0);
});

test("a reader that drops in the middle of its past leaves no listener behind", async () => {
  const id = await newSession();
  for (let n = 0; n < 4; n++) await append(id, ...Array.from({ length: 500 }, () => says("x".repeat(20_000))));
  const gone = new AbortController();
  const responses = await Promise.all(
    Array.from({ length: 4 }, () =>
      fetch(`${it.url}/v1/sessions/${id}/events/stream?after=0`, {
        headers: { "x-api-key": key },
        signal: gone.signal,
      }),
    ),
  );
  await Promise.all(responses.map((response) => until(frames(response), upTo(3))));
  expect(it.server.log.listenerCount(id)).toBe(4);
  gone.abort();
  await expect.poll(() => it.server.log.listenerCount(id)).toBe(0);
});

test("what a reader leaves unread is bounded by bytes, too", async () => {
  const id = await newSession();
  const stream = frames(await open(id));
  await stream.next();
  await expect.poll(() => it.server.log.listenerCount(id)).toBe(1);
  const big = says("x".repeat(1_000_000));
  let sent = 0;
  for (; sent < 200 && it.server.log.listenerCount(id) > 0; sent++) await append(id, big);
  expect(it.server.log.listenerCount(id)).toBe(0);
  // Sixteen megabytes in the queue and what the connection itself took.
  expect(sent).toBeLessThan(60);
  const seen = await until(stream, ({ event }) => event === "error");
  expect(seen.at(-1)?.data).toMatchObject({ holdfast: { code: "consumer_too_slow" } });
}, 60_000);

test("a reader that does not read is let go, and told when it reads again", async () => {
  const id = await newSession();
  const stream = frames(await open(id));
  await stream.next();
  await expect.poll(() => it.server.log.listenerCount(id)).toBe(1);
  const text = "x".repeat(4_000);
  for (let n = 0; n < 40 && it.server.log.listenerCount(id) > 0; n++)
    await append(id, ...Array.from({ length: 500 }, () => says(text)));
  expect(it.server.log.listenerCount(id)).toBe(0);
  const seen = await until(stream, ({ event }) => event === "error");
  expect(seen.at(-1)?.data).toMatchObject({
    type: "error",
    error: { type: "overloaded_error" },
    holdfast: { code: "consumer_too_slow" },
  });
  const last = Number(seqs(seen).at(-1));
  const again = frames(await open(id, `?after=${last}`));
  expect(seqs(await until(again, upTo(last + 1)))).toEqual([last + 1]);
  await again.return(undefined);
}, 60_000);

test("the official SDK reads the stream", async () => {
  const id = await newSession();
  await append(id, { type: "user.message", content: [{ type: "text", text: "hi" }] });
  const stream = await client.beta.sessions.events.stream(id, { event_deltas: ["agent.message"] });
  const types: string[] = [];
  const appended = append(id, says("hello"));
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === "agent.message") break;
  }
  await appended;
  expect(types).toEqual(["user.message", "agent.message"]);
});
