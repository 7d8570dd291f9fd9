import type { NewEvent } from "@holdfast/protocol";
import { createHoldfast, type Followed } from "@holdfast/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestServer, testServer } from "./_server.ts";

let it: TestServer;
let key: string;
beforeAll(async () => {
  it = await testServer({ heartbeatMs: 100 });
  ({ apiKey: key } = await it.account("tester"));
});
afterAll(() => it?.[Symbol.asyncDispose]());

/** Every connection of this client can be cut. */
const cuts = new Set<AbortController>();
const holdfast = () =>
  createHoldfast({
    baseUrl: it.url,
    apiKey: key,
    fetch: (input, init) => {
      const cut = new AbortController();
      cuts.add(cut);
      const signal = init?.signal ? AbortSignal.any([init.signal, cut.signal]) : cut.signal;
      return fetch(input, { ...init, signal });
    },
  });
const cut = () => {
  for (const controller of cuts) controller.abort(new TypeError("terminated"));
  cuts.clear();
};

const newSession = async () => {
  const answer = await it.fetch("/v1/sessions", {
    key,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  return ((await answer.json()) as { id: string }).id;
};
const says = (text: string): NewEvent => ({ type: "agent.message", content: [{ type: "text", text }] });
const append = (sessionId: string, ...events: NewEvent[]) => it.server.log.append({ sessionId, events });
const seqs = (items: readonly Followed[], sessionId: string) =>
  items.flatMap((item) => (item.type === "event" && item.sessionId === sessionId ? [item.event.seq] : []));

test("follows many sessions and comes back by itself: every event once, in order, over twenty cuts", async () => {
  const [a, b] = await Promise.all([newSession(), newSession()]);
  await append(a, says("old"), says("old"));
  const stop = new AbortController();
  const tries: number[] = [];
  const items: Followed[] = [];
  const reading = (async () => {
    const follows = { sessions: [a, b], from: { [a]: 1, [b]: 0 }, signal: stop.signal };
    for await (const item of holdfast().follow({ ...follows, onReconnect: (_error, attempt) => tries.push(attempt) })) {
      items.push(item);
      if (seqs(items, b).at(-1) === 100 && seqs(items, a).at(-1) === 102) return;
    }
  })();
  for (let n = 0; n < 100; n++) {
    await append(a, says("a"));
    await append(b, says("b"));
    if (n % 5 > 0) continue;
    await expect.poll(() => seqs(items, b).at(-1)).toBe(n + 1);
    cut();
  }
  await reading;
  expect(seqs(items, a)).toEqual(Array.from({ length: 101 }, (_, i) => i + 2));
  expect(seqs(items, b)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  expect(tries.length).toBeGreaterThanOrEqual(20);
  await expect.poll(() => it.server.log.listenerCount()).toBe(0);
});

test("goes on from a cursor with other sessions, says what is gone, and ends with the last session", async () => {
  const [a, b] = await Promise.all([newSession(), newSession()]);
  await append(a, says("1"), says("2"));
  let cursor = "";
  for await (const item of holdfast().follow({ sessions: [a], from: { [a]: 0 } })) {
    if (item.type !== "event") continue;
    cursor = item.cursor;
    break;
  }
  const items: Followed[] = [];
  for await (const item of holdfast().follow({ sessions: [a, b, "sesn_none"], after: cursor, from: { [b]: 9 } })) {
    items.push(item);
    if (item.type === "event" && item.event.seq === 2) {
      for (const id of [a, b]) await it.fetch(`/v1/sessions/${id}`, { key, method: "DELETE" });
    }
  }
  expect(seqs(items, a)).toEqual([2, 3]);
  expect(items.filter(({ type }) => type !== "event").map(({ type, sessionId }) => [type, sessionId])).toEqual([
    ["gap", b],
    ["gone", "sesn_none"],
  ]);
  expect(items.flatMap((item) => (item.type === "event" ? [item.event.type] : []))).toContain("session.deleted");
});

test("what trying again does not mend is thrown; the signal ends it at once, with no listener left", async () => {
  const id = await newSession();
  const wrong = createHoldfast({ baseUrl: it.url, apiKey: "hfk_wrong" });
  await expect(Array.fromAsync(wrong.follow({ sessions: [id] }))).rejects.toMatchObject({ status: 401 });
  expect(await Array.fromAsync(holdfast().follow({ sessions: ["sesn_none"] }))).toMatchObject([
    { type: "gone", sessionId: "sesn_none" },
  ]);
  const stop = new AbortController();
  const reading = Array.fromAsync(holdfast().follow({ sessions: [id], signal: stop.signal }));
  await expect.poll(() => it.server.log.listenerCount(id)).toBe(1);
  stop.abort(new Error("enough"));
  await expect(reading).rejects.toThrow("enough");
  await expect.poll(() => it.server.log.listenerCount(id)).toBe(0);
});
