import { expect, test, vi } from "vitest";
import { retry } from "./retry.ts";

const fast = { attempts: 3, baseMs: 1, maxMs: 2 };

test("retries until it succeeds and says so each time", async () => {
  const told: number[] = [];
  const result = await retry(
    async (attempt) => {
      if (attempt < 3) throw new Error(`no ${attempt}`);
      return attempt;
    },
    { ...fast, onRetry: (_error, attempt) => told.push(attempt) },
  );
  expect(result).toBe(3);
  expect(told).toEqual([1, 2]);
});

test("throws the last error when the attempts are used up", async () => {
  await expect(retry(async (attempt) => Promise.reject(new Error(`no ${attempt}`)), fast)).rejects.toThrow("no 3");
});

test("does not retry what is not transient", async () => {
  let calls = 0;
  const work = async () => {
    calls += 1;
    throw new Error("lasting");
  };
  await expect(retry(work, { ...fast, isTransient: () => false })).rejects.toThrow("lasting");
  expect(calls).toBe(1);
});

/** Fails so often, then gives its attempt. */
const failing = (times: number) => async (attempt: number) => {
  if (attempt <= times) throw new Error(`no ${attempt}`);
  return attempt;
};

test("waits twice as long each time, up to the longest, however many there are", async () => {
  vi.useFakeTimers();
  const waits: number[] = [];
  const startMs = Date.now();
  const result = retry(failing(1_100), {
    attempts: Number.POSITIVE_INFINITY,
    baseMs: 100,
    maxMs: 1_000,
    onRetry: (_error, _attempt, waitMs) => waits.push(waitMs),
  });
  await vi.advanceTimersByTimeAsync(1_100_000);
  expect(await result).toBe(1_101);
  expect(waits.slice(0, 6)).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  expect(waits.at(-1)).toBe(1_000);
  expect(Date.now() - startMs).toBeGreaterThanOrEqual(waits.reduce((sum, wait) => sum + wait));
  vi.useRealTimers();
});

test("says which error it was that it tries again for", async () => {
  const told: [string, number][] = [];
  const onRetry = (error: unknown, attempt: number) => told.push([(error as Error).message, attempt]);
  await retry(failing(2), { ...fast, onRetry });
  expect(told).toEqual([
    ["no 1", 1],
    ["no 2", 2],
  ]);
});

test("goes on only as long as the errors may pass by themselves", async () => {
  const isTransient = (error: unknown) => (error as Error).message !== "no 2";
  await expect(retry(failing(5), { ...fast, attempts: 10, isTransient })).rejects.toThrow("no 2");
});

test.each([0, 1])("with %i attempts tries once, without a wait", async (attempts) => {
  const onRetry = vi.fn();
  await expect(retry(failing(9), { attempts, baseMs: 1e9, maxMs: 1e9, onRetry })).rejects.toThrow("no 1");
  expect(onRetry).not.toHaveBeenCalled();
});

test("a signal that aborts during a wait ends it with its reason, and nothing is tried again", async () => {
  const controller = new AbortController();
  const work = vi.fn(failing(9));
  const options = { attempts: 5, baseMs: 1e9, maxMs: 1e9, signal: controller.signal };
  const retrying = retry(work, { ...options, onRetry: () => controller.abort(new Error("enough")) });
  await expect(retrying).rejects.toThrow("enough");
  expect(work).toHaveBeenCalledTimes(1);
});

test("work that fails after the abort is not tried again: its own error says more than the abort", async () => {
  const controller = new AbortController();
  const work = vi.fn(async () => {
    controller.abort(new Error("enough"));
    throw new Error("broken by it");
  });
  await expect(retry(work, { ...fast, signal: controller.signal })).rejects.toThrow("broken by it");
  expect(work).toHaveBeenCalledTimes(1);
});

test("work that throws at once is tried again as any other", async () => {
  const work = (attempt: number): Promise<number> => {
    if (attempt === 1) throw new Error("at once");
    return Promise.resolve(attempt);
  };
  expect(await retry(work, fast)).toBe(2);
});
