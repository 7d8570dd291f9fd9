import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DeadlineError, sleep, withDeadline } from "./abort.ts";
import { startTimer, timeoutSignal } from "./timers.ts";

const day = 86_400_000;
const long = [2 ** 31 - 1, 2 ** 31, 40 * day, 2 ** 32, 2 ** 32 + 5, 400 * day];

/** The same numbers for the same seed, so that a failure can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

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

  it.each([0, -5, Number.NEGATIVE_INFINITY])("of %s ms are over in the loop's next turn, not at once", (ms) => {
    const fire = vi.fn();
    startTimer(ms, fire);
    expect(fire).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(fire).toHaveBeenCalledTimes(1);
  });

  it("many of random lengths, some stopped at random times, fire each at its own time or never", () => {
    const random = randomOf(7);
    const startMs = performance.now();
    const timers = Array.from({ length: 200 }, () => {
      const ms = random(3) === 0 ? random(200) * day : 1 + random(100) * 1_000;
      const stopMs = random(2) === 0 ? random(300) * day : undefined;
      const firedMs: number[] = [];
      const timer = startTimer(ms, () => firedMs.push(performance.now() - startMs));
      if (stopMs !== undefined) startTimer(stopMs, () => timer[Symbol.dispose]());
      return { ms, stopMs, firedMs };
    });
    vi.advanceTimersByTime(400 * day);
    for (const { ms, stopMs, firedMs } of timers) {
      // Stopped in the very millisecond in which it fires, it may do either.
      if (stopMs === ms) continue;
      expect(firedMs).toEqual(stopMs !== undefined && stopMs < ms ? [] : [Math.max(1, ms)]);
    }
    expect(vi.getTimerCount()).toBe(0);
  });

  it("can be stopped by what they call, and again after that", () => {
    const timer = startTimer(40 * day, () => timer[Symbol.dispose]());
    vi.advanceTimersByTime(40 * day);
    timer[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("whose clock is late do not wait again", () => {
    const fire = vi.fn();
    startTimer(30 * day, fire);
    // A machine that slept: its timers stood still, its clock did not.
    const now = performance.now();
    vi.spyOn(performance, "now").mockReturnValue(now + 31 * day);
    vi.advanceTimersByTime(2 ** 31 - 1);
    expect(fire).toHaveBeenCalledTimes(1);
    vi.restoreAllMocks();
  });
});

describe("a process", () => {
  const timersUrl = JSON.stringify(new URL("./timers.ts", import.meta.url).href);
  const run = (code: string) => {
    const source = `import { startTimer, timeoutSignal } from ${timersUrl}; ${code}`;
    return spawnSync(process.execPath, ["--input-type=module", "-e", source], { encoding: "utf8", timeout: 20_000 });
  };

  it("is kept by a timer, not by one that lets it go, nor by the signal of a time, however long", () => {
    const kept = run("startTimer(20, () => console.log('fired'));");
    expect([kept.stdout, kept.status]).toEqual(["fired\n", 0]);
    const left = run(
      "for (const ms of [60_000, 2 ** 40]) { startTimer(ms, () => console.log('fired')).unref(); timeoutSignal(ms); }",
    );
    expect([left.stdout, left.status, left.signal]).toEqual(["", 0, null]);
  });
});

describe("the signal of a time", () => {
  it.each([0, -1, -1e12, 0.4, 1.5])("of %s ms aborts soon, with a TimeoutError", async (ms) => {
    const signal = timeoutSignal(ms);
    await vi.waitFor(() => expect(signal.aborted).toBe(true));
    expect(signal.reason).toMatchObject({ name: "TimeoutError" });
  });

  it("without an end does not abort", () => {
    vi.useFakeTimers();
    const signal = timeoutSignal(Number.POSITIVE_INFINITY);
    vi.advanceTimersByTime(500 * day);
    expect(signal.aborted).toBe(false);
    vi.useRealTimers();
  });
});
