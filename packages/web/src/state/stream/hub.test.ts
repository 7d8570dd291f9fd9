import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Port, reconnectDelayMs, type Source, StreamHub, silentPageMs } from "./hub.ts";
import type { Followed, HubMessage } from "./messages.ts";

/** A stream of the server's, by hand. */
class FakeSource implements Source {
  onopen: Source["onopen"] = null;
  onmessage: Source["onmessage"] = null;
  onerror: Source["onerror"] = null;
  readyState = 0;
  closed = false;
  readonly url: URL;
  readonly #pings: ((message: MessageEvent) => void)[] = [];

  constructor(url: string) {
    this.url = new URL(url, "http://holdfast.test");
  }

  addEventListener(_type: string, listener: unknown): void {
    this.#pings.push(listener as (message: MessageEvent) => void);
  }

  close(): void {
    this.closed = true;
  }

  get sessions(): string {
    return this.url.searchParams.get("sessions") ?? "";
  }

  live(): void {
    this.onopen?.call(this as never, new Event("open"));
  }

  event(id: string, seq: number): void {
    this.#message({ session_id: id, seq, type: "agent.message" });
  }

  draft(id: string): void {
    this.#message({ session_id: id, type: "event_start" });
  }

  ping(data: object): void {
    for (const listener of this.#pings) listener(new MessageEvent("ping", { data: JSON.stringify(data) }));
  }

  fail(readyState: 0 | 2): void {
    this.readyState = readyState;
    this.onerror?.call(this as never, new Event("error"));
  }

  #message(data: object): void {
    this.onmessage?.call(this as never, new MessageEvent("message", { data: JSON.stringify(data) }));
  }
}

class Page implements Port {
  readonly got: HubMessage[] = [];

  post(message: HubMessage): void {
    this.got.push(message);
  }

  get seqs(): number[] {
    return this.got.flatMap((each) => (each.type === "frame" ? [(each.value as { seq: number }).seq] : []));
  }

  count(type: HubMessage["type"]): number {
    return this.got.filter((each) => each.type === type).length;
  }

  get served(): readonly string[] {
    return this.got.findLast((each) => each.type === "state")?.served ?? [];
  }
}

let hub: StreamHub;
let sources: FakeSource[];
const open = () => sources.filter(({ closed }) => !closed);
const newest = () => sources.at(-1) as FakeSource;
const after = (id: string, seq: number, drafts = false): Followed => ({ id, after: seq, drafts });

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("navigator", { onLine: true });
  sources = [];
  hub = new StreamHub({
    open: (url) => {
      const source = new FakeSource(url);
      sources.push(source);
      return source;
    },
    random: () => 0,
  });
});
afterEach(() => {
  hub[Symbol.dispose]();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function want(page: Page, followed: readonly Followed[], more: { visible?: boolean; again?: boolean } = {}): void {
  hub.receive(page, { type: "want", followed, visible: true, ...more });
  vi.advanceTimersByTime(20);
}

test("ten pages have one connection, and each gets what it follows, once", () => {
  const pages = Array.from({ length: 10 }, () => new Page());
  for (const page of pages) hub.receive(page, { type: "want", followed: [after("a", 3)], visible: true });
  vi.advanceTimersByTime(20);
  expect(sources.length).toBe(1);
  newest().event("a", 4);
  newest().event("a", 4);
  newest().event("b", 9);
  for (const page of pages) expect(page.seqs).toEqual([4]);
});

test("a page that comes later and holds as much joins; one that holds less has the stream begin where it is", () => {
  const [first, equal, behind] = [new Page(), new Page(), new Page()];
  want(first, [after("a", 3)]);
  newest().event("a", 4);
  want(equal, [after("a", 4)]);
  expect(sources.length).toBe(1);
  want(behind, [after("a", 2)]);
  expect(open().map(({ sessions }) => sessions)).toEqual(["a:2"]);
  for (const seq of [3, 4, 5]) newest().event("a", seq);
  expect([first.seqs, equal.seqs, behind.seqs]).toEqual([[4, 5], [5], [3, 4, 5]]);
});

test("a page that names a hole gets it filled, and a sign of life with old cursors changes nothing", () => {
  const [page, other] = [new Page(), new Page()];
  want(page, [after("a", 1)]);
  want(other, [after("a", 1)]);
  newest().event("a", 2);
  newest().event("a", 4);
  want(page, [after("a", 2)]);
  expect(sources.length).toBe(1);
  want(page, [after("a", 2)], { again: true });
  expect(newest().sessions).toBe("a:2");
  newest().event("a", 3);
  newest().event("a", 4);
  expect(page.seqs).toEqual([2, 4, 3, 4]);
  expect(other.seqs).toEqual([2, 4]);
});

test("live text goes only to who wants it, and a new connection for it is opened once", () => {
  const [reads, lists] = [new Page(), new Page()];
  want(lists, [after("a", 0)]);
  want(reads, [after("a", 0, true)]);
  expect(newest().url.searchParams.get("deltas_of")).toBe("a");
  expect(lists.count("disconnected")).toBe(1);
  newest().draft("a");
  expect([reads.count("frame"), lists.count("frame")]).toEqual([1, 0]);
});

test("of more than a hundred sessions those are followed that are open in view, then open, then listed in view", () => {
  const [inView, hidden] = [new Page(), new Page()];
  const listed = (name: string, count: number) => Array.from({ length: count }, (_, n) => after(`${name}${n}`, 0));
  want(hidden, [after("openHidden", 0, true), ...listed("h", 99)], { visible: false });
  want(inView, [...listed("v", 98), after("openInView", 0, true)]);
  const ids = newest()
    .sessions.split(",")
    .map((each) => each.split(":")[0]);
  expect(ids.length).toBe(100);
  expect(ids.slice(0, 3)).toEqual(["openInView", "openHidden", "v0"]);
  expect(ids.some((id) => id?.startsWith("h"))).toBe(false);
  expect(hidden.served).toEqual(["openHidden"]);
});

test("a cut is said, and made up for from where each page is", () => {
  const page = new Page();
  want(page, [after("a", 0)]);
  newest().live();
  newest().event("a", 1);
  newest().fail(0);
  expect(page.count("disconnected")).toBe(1);
  expect(page.got.at(-1)).toMatchObject({ connection: { state: "reconnecting", attempt: 1 } });
  vi.advanceTimersByTime(reconnectDelayMs(1, 0));
  expect(newest().sessions).toBe("a:1");
  expect(page.count("refused")).toBe(0);
  newest().fail(2);
  expect(page.count("refused")).toBe(1);
});

test("a gap goes to the pages that follow, and what comes after it is not taken for old", () => {
  const [page, other] = [new Page(), new Page()];
  want(page, [after("a", 90)]);
  want(other, [after("b", 1)]);
  newest().ping({ type: "holdfast.stream", sessions: { a: { verdict: "gap", after: 10, last_seq: 12 } } });
  expect(page.got.at(-1)).toEqual({ type: "gap", id: "a", lastSeq: 12 });
  expect(other.count("gap")).toBe(0);
  newest().event("a", 11);
  expect(page.seqs).toEqual([11]);
});

test("hidden pages keep the connection for a minute; the first in view has it back at once", () => {
  const page = new Page();
  want(page, [after("a", 0)]);
  want(page, [after("a", 0)], { visible: false });
  vi.advanceTimersByTime(59_000);
  expect(open().length).toBe(1);
  vi.advanceTimersByTime(1_000);
  expect(open().length).toBe(0);
  want(page, [after("a", 0)]);
  expect(open().length).toBe(1);
});

test("a page that is silent, frozen or gone is forgotten, and the last one takes the connection with it", () => {
  const page = new Page();
  want(page, [after("a", 0)]);
  vi.advanceTimersByTime(silentPageMs + 5_000);
  expect([hub.pages, open().length]).toEqual([0, 0]);
  hub.receive(page, { type: "wake" });
  expect(page.got.at(-1)).toEqual({ type: "who" });
  want(page, [after("a", 0)], { again: true });
  hub.receive(page, { type: "bye" });
  expect([hub.pages, open().length]).toEqual([0, 0]);
});

test("silence longer than the heartbeats is a dead connection", () => {
  const page = new Page();
  want(page, [after("a", 0)]);
  newest().live();
  for (let n = 0; n < 3; n++) {
    vi.advanceTimersByTime(25_000);
    want(page, [after("a", 0)]);
  }
  expect(page.count("disconnected")).toBe(1);
});
