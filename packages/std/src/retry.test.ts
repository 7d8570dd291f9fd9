import { expect, test } from "vitest";
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
