import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Term } from "./term.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("a term is fresh for as long as its last heartbeat is young, counted from when that was sent", () => {
  const term = new Term("srv_1");
  expect(term.isFresh(10_000)).toBe(false);
  const sent = term.mark();
  vi.advanceTimersByTime(4_000);
  term.beaten(sent);
  expect(term.isFresh(10_000)).toBe(true);
  vi.advanceTimersByTime(6_000);
  expect(term.isFresh(10_000)).toBe(false);
});

test("a machine that slept is noticed by the clock on the wall", () => {
  const term = new Term("srv_1");
  term.beaten(term.mark());
  vi.setSystemTime(Date.now() + 60_000);
  expect(term.isFresh(10_000)).toBe(false);
});

test("a heartbeat that arrives late does not make the term older", () => {
  const term = new Term("srv_1");
  const early = term.mark();
  vi.advanceTimersByTime(9_000);
  term.beaten(term.mark());
  term.beaten(early);
  vi.advanceTimersByTime(5_000);
  expect(term.isFresh(10_000)).toBe(true);
});
