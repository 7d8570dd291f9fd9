import type { DraftFrame, SessionEvent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { emptyLog, hasGap, type LogInput, reduce, type SessionLog } from "./log.ts";

const at = (seq: number, id = `sevt_${seq}`): SessionEvent => ({
  type: "agent.message",
  id,
  seq,
  processed_at: "2026-11-23T10:00:00Z",
  content: [{ type: "text", text: `text ${seq}` }],
});
const event = (seq: number): LogInput => ({ type: "event", event: at(seq) });
const page = (from: number, to: number, hasOlder = from > 1): LogInput => ({
  type: "page",
  events: Array.from({ length: to - from + 1 }, (_, i) => at(to - i)),
  hasOlder,
});
const draft = (frame: DraftFrame): LogInput => ({ type: "draft", frame });
const start = (id: string) => draft({ type: "event_start", event: { type: "agent.message", id } });
const delta = (id: string, text: string, index = 0) =>
  draft({
    type: "event_delta",
    event_id: id,
    delta: { type: "content_delta", index, content: { type: "text", text } },
  });
const idle: SessionEvent = {
  type: "session.status_idle",
  id: "sevt_idle",
  seq: 1,
  processed_at: "",
  stop_reason: { type: "end_turn" },
  stop_details: null,
};
const seqs = (log: SessionLog) => [...log.events].map((entry) => entry.seq);

test("a replay of everything changes nothing", () => {
  const inputs = [page(1, 5), event(6), event(7)];
  const once = reduce(emptyLog, inputs);
  const twice = reduce(once, [page(3, 7), page(1, 5), event(3), event(7), event(6)]);
  expect(seqs(once)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(twice).toBe(once);
});

test("any order of the same events gives the same log", () => {
  let seed = 7;
  const random = () => {
    seed = (seed * 16807) % 2147483647;
    return seed / 2147483647;
  };
  for (let round = 0; round < 200; round++) {
    const inputs = Array.from({ length: 12 }, (_, i) => event(i + 1)).sort(() => random() - 0.5);
    const log = inputs.reduce((state, input) => reduce(state, [input]), emptyLog);
    expect(seqs(log)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(hasGap(log)).toBe(false);
  }
});

test("what lies behind a hole waits until the hole is filled", () => {
  const gap = reduce(emptyLog, [page(1, 3), event(6), event(5)]);
  expect(seqs(gap)).toEqual([1, 2, 3]);
  expect(gap.lastSeq).toBe(3);
  expect(hasGap(gap)).toBe(true);
  const filled = reduce(gap, [event(4)]);
  expect(seqs(filled)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(hasGap(filled)).toBe(false);
});

test("a page that cannot be joined replaces what is shown", () => {
  const log = reduce(emptyLog, [page(1, 3), page(100, 110)]);
  expect(seqs(log)[0]).toBe(100);
  expect(log.hasOlder).toBe(true);
});

test("after a reset only what comes then is held", () => {
  expect(seqs(reduce(emptyLog, [page(1, 50), { type: "reset" }, page(1, 7)]))).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test("older pages go in front, and the last one says that it is the last", () => {
  const newest = reduce(emptyLog, [page(11, 20)]);
  expect(newest.hasOlder).toBe(true);
  const all = reduce(newest, [page(1, 10, false)]);
  expect(seqs(all)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  expect(all.hasOlder).toBe(false);
});

test("a draft grows and gives way to the event with its id", () => {
  const growing = reduce(emptyLog, [start("sevt_1"), delta("sevt_1", "Hel"), delta("sevt_1", "lo")]);
  expect(growing.drafts[0]?.text).toBe("Hello");
  const done = reduce(growing, [event(1)]);
  expect(done.drafts).toEqual([]);
  expect(reduce(done, [start("sevt_1"), delta("sevt_1", "late")])).toBe(done);
});

test("text blocks of one message are kept apart", () => {
  const log = reduce(emptyLog, [start("a"), delta("a", "one"), delta("a", "two", 1)]);
  expect(log.drafts[0]?.text).toBe("one\n\ntwo");
});

test("a void draft goes, a draft that nobody started is ignored", () => {
  const log = reduce(emptyLog, [start("a"), delta("a", "x"), draft({ type: "holdfast.draft_void", event_id: "a" })]);
  expect(log.drafts).toEqual([]);
  expect(reduce(log, [delta("b", "x")])).toBe(log);
});

test("after a cut the draft is shown until the server speaks of it again, and is never doubled", () => {
  const cut = reduce(emptyLog, [start("a"), delta("a", "Hello wo"), { type: "disconnected" }]);
  expect(cut.drafts[0]).toMatchObject({ text: "Hello wo", confirmed: false });
  expect(reduce(cut, [delta("a", "rld")])).toBe(cut);
  const back = reduce(cut, [start("a"), delta("a", "Hello world")]);
  expect(back.drafts).toMatchObject([{ text: "Hello world", confirmed: true }]);
});

test("a draft that ended while the page was away does not stay", () => {
  const cut = reduce(emptyLog, [start("a"), delta("a", "lost"), { type: "disconnected" }]);
  expect(reduce(cut, [start("b")]).drafts.map((entry) => entry.id)).toEqual(["b"]);
  expect(reduce(cut, [event(1)]).drafts).toEqual([]);
  expect(reduce(cut, [{ type: "event", event: idle }]).drafts).toEqual([]);
});
