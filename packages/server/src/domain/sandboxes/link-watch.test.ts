import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LinkWatch } from "./link-watch.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watch(isNeeded = () => true) {
  const seen: string[] = [];
  const it = new LinkWatch({ isNeeded, ping: () => seen.push("ping"), onSilent: () => seen.push("silent") });
  return { it, seen };
}

test("asks once after a while, and gives up when nothing comes", () => {
  const { it, seen } = watch();
  vi.advanceTimersByTime(1_250);
  expect(seen).toEqual([]);
  vi.advanceTimersByTime(1_000);
  expect(seen).toEqual(["ping"]);
  vi.advanceTimersByTime(3_000);
  expect(seen).toEqual(["ping", "silent"]);
  vi.advanceTimersByTime(60_000);
  expect(seen).toEqual(["ping", "silent"]);
  it[Symbol.dispose]();
});

test("whatever comes is a sign of life", () => {
  const { it, seen } = watch();
  for (let n = 0; n < 10; n++) {
    vi.advanceTimersByTime(2_000);
    it.heard();
  }
  expect(seen.filter((each) => each === "silent")).toEqual([]);
  it[Symbol.dispose]();
});

test("nobody waits: nothing is asked, and waiting begins anew", () => {
  let needed = false;
  const { it, seen } = watch(() => needed);
  vi.advanceTimersByTime(60_000);
  expect(seen).toEqual([]);
  needed = true;
  vi.advanceTimersByTime(4_000);
  expect(seen).toEqual(["ping"]);
  it[Symbol.dispose]();
});

test("a reader that is slow itself takes nobody for dead", async () => {
  const { it, seen } = watch();
  const slow = it.deaf(
    () =>
      new Promise<void>((resolve) => {
        setTimeout(resolve, 30_000);
      }),
  );
  await vi.advanceTimersByTimeAsync(30_000);
  await slow;
  expect(seen).toEqual([]);
  it[Symbol.dispose]();
});

test("a process that was stopped has heard nothing, which proves nothing", () => {
  const { it, seen } = watch();
  vi.advanceTimersByTime(250);
  const now = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 60_000);
  vi.advanceTimersByTime(250);
  expect(seen).toEqual([]);
  now.mockRestore();
  it[Symbol.dispose]();
});
