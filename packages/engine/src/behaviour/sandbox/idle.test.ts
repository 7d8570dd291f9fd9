import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { watchIdle } from "./idle.ts";

const day = 86_400_000;
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test.each([1_000, 20 * day, 40 * day])("idle for %i ms calls once, and not before", (timeoutMs) => {
  const onIdle = vi.fn();
  using watch = watchIdle(timeoutMs, onIdle);
  vi.advanceTimersByTime(timeoutMs - 1);
  watch.touched();
  vi.advanceTimersByTime(timeoutMs - 1);
  expect(onIdle).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  vi.advanceTimersByTime(3 * timeoutMs);
  expect(onIdle).toHaveBeenCalledOnce();
});

test("a sandbox in which something runs is not idle, however long", () => {
  const onIdle = vi.fn();
  using watch = watchIdle(1_000, onIdle);
  watch.execStarted("a");
  watch.execStarted("b");
  vi.advanceTimersByTime(40 * day);
  watch.execEnded("a");
  watch.execEnded("unknown");
  vi.advanceTimersByTime(40 * day);
  expect(onIdle).not.toHaveBeenCalled();
  watch.execEnded("b");
  vi.advanceTimersByTime(1_000);
  expect(onIdle).toHaveBeenCalledOnce();
});

test("nothing is called after its end", () => {
  const onIdle = vi.fn();
  watchIdle(1_000, onIdle)[Symbol.dispose]();
  vi.advanceTimersByTime(40 * day);
  expect(onIdle).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});
