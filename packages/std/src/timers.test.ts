import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DeadlineError, sleep, withDeadline } from "./abort.ts";
import { startTimer, timeoutSignal } from "./timers.ts";

const day = 86_400_000;
const long = [2 ** 31 - 1, 2 ** 31, 40 * day, 2 ** 32, 2 ** 32 + 5, 400 * day];

describe("timers", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([1, 1_000, ...long])("of %i ms fire then, once, and not before", (ms) => {
    const fire = vi.fn();
    startTimer(ms, fire);
    vi.advanceTimersByTime(Math.max(0, ms - 1));
    expect(fire).toHaveBeenCalledTimes(0);
    vi.advanceTimersByTime(1);
    expect(fire).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(500 * day);
    expect(fire).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each(long)("of %i ms can be stopped at any time", (ms) => {
    for (const share of [0, 0.5, 0.99]) {
      const fire = vi.fn();
      const timer = startTimer(ms, fire);
      vi.advanceTimersByTime(Math.floor(ms * share));
      timer[Symbol.dispose]();
      vi.advanceTimersByTime(2 * ms);
      expect(fire).not.toHaveBeenCalled();
      expect(vi.getTimerCount()).toBe(0);
    }
  });

  it("without an end never fire", () => {
    const fire = vi.fn();
    const timer = startTimer(Number.POSITIVE_INFINITY, fire);
    vi.advanceTimersByTime(1_000 * day);
    expect(fire).not.toHaveBeenCalled();
    timer[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each(long)("behind a sleep, a deadline and a signal of %i ms wait as long", async (ms) => {
    let slept = false;
    const sleeping = sleep(ms).then(() => {
      slept = true;
    });
    const late = withDeadline(() => new Promise(() => undefined), { what: "work", timeoutMs: ms });
    const failed = expect(late).rejects.toThrow(DeadlineError);
    const signal = ms > 2 ** 31 - 1 ? timeoutSignal(ms) : undefined;
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect([slept, signal?.aborted ?? false]).toEqual([false, false]);
    await vi.advanceTimersByTimeAsync(1);
    expect(slept).toBe(true);
    if (signal !== undefined) expect(signal.reason).toMatchObject({ name: "TimeoutError" });
    await Promise.all([sleeping, failed]);
  });
});
