import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { BoundedQueue, ByteBudget, QueueOverflowError } from "./queue.ts";

test("gives items in order, then ends", async () => {
  const queue = new BoundedQueue<number>(10);
  queue.push(1);
  queue.push(2);
  queue.end();
  expect(await Array.fromAsync(queue)).toEqual([1, 2]);
  expect(queue.push(3)).toBe(false);
});

test("wakes a waiting reader", async () => {
  const queue = new BoundedQueue<string>(10);
  const next = queue.next();
  queue.push("late");
  expect(await next).toBe("late");
});

test("fails a reader that is too slow instead of growing", async () => {
  const queue = new BoundedQueue<number>(2);
  expect(queue.push(1)).toBe(true);
  expect(queue.push(2)).toBe(true);
  expect(queue.push(3)).toBe(false);
  await expect(queue.next()).rejects.toThrow(QueueOverflowError);
  expect(queue.size).toBe(0);
});

test("a waiting reader leaves when its signal aborts, and the queue goes on", async () => {
  const queue = new BoundedQueue<number>(2);
  const controller = new AbortController();
  const next = queue.next(controller.signal);
  controller.abort(new Error("left"));
  await expect(next).rejects.toThrow("left");
  queue.push(7);
  expect(await queue.next()).toBe(7);
});

test("is bounded by bytes, too, also over several queues; one item alone is always taken", async () => {
  const budget = new ByteBudget(100);
  const a = new BoundedQueue<string>(10, budget);
  const b = new BoundedQueue<string>(10, budget);
  expect(a.push("whole", 500)).toBe(true);
  expect(await a.next()).toBe("whole");
  expect(a.push("a", 60)).toBe(true);
  expect(b.push("b", 60)).toBe(false);
  await expect(b.next()).rejects.toThrow(QueueOverflowError);
  expect(budget.used).toBe(60);
  a.clear();
  expect(budget.used).toBe(0);
});

/** The same numbers for the same seed, so that a failure can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("whatever is pushed and read in any order, a reader gets all in order, and the budget what is queued", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = randomOf(seed);
    const budget = new ByteBudget(1e9);
    const queues = [new BoundedQueue<number>(1e9, budget), new BoundedQueue<number>(1e9, budget)];
    const queued: { item: number; bytes: number }[][] = [[], []];
    for (let n = 0; n < 200; n++) {
      const which = random(2);
      const [queue, expected] = [queues[which], queued[which]];
      const kind = random(20);
      if (kind === 0) {
        queue?.clear();
        expected?.splice(0);
      } else if (kind < 11) {
        const bytes = random(1_000);
        expect(queue?.push(n, bytes)).toBe(true);
        expected?.push({ item: n, bytes });
      } else if (expected?.length !== 0) expect(await queue?.next(), `seed ${seed}`).toBe(expected?.shift()?.item);
      expect(queue?.size, `seed ${seed}`).toBe(expected?.length);
      const bytes = queued.flat().reduce((sum, each) => sum + each.bytes, 0);
      expect(budget.used, `seed ${seed}`).toBe(bytes);
    }
  }
});

test("a reader gets what was queued before a failure, then the failure, each time it asks", async () => {
  const queue = new BoundedQueue<string>(10);
  queue.push("before");
  queue.fail(new Error("broken"));
  queue.fail(new Error("a second failure is nobody's"));
  queue.end();
  expect(queue.push("after")).toBe(false);
  expect(await queue.next()).toBe("before");
  await expect(queue.next()).rejects.toThrow("broken");
  await expect(queue.next()).rejects.toThrow("broken");
});

test("a failure without an error is a failure, too, and no end", async () => {
  const queue = new BoundedQueue<string>(10);
  queue.fail(undefined);
  expect(await queue.next().catch((error: unknown) => ["failed", error])).toEqual(["failed", undefined]);
});

test("a failure after the end is none: the reader may have been told already", async () => {
  const queue = new BoundedQueue<string>(10);
  queue.end();
  queue.fail(new Error("too late"));
  expect(await queue.next()).toBeUndefined();
});

test.each<[string, (queue: BoundedQueue<string>) => void, unknown]>([
  ["the end", (queue) => queue.end(), "end"],
  ["a failure", (queue) => queue.fail(new Error("broken")), "broken"],
  ["an overflow", (queue) => Array.from("abc", (each) => queue.push(each)), "the reader is more than 2 items behind"],
])("a reader that waits hears of %s at once", async (_what, happen, expected) => {
  const queue = new BoundedQueue<string>(2);
  const waiting = queue.next().then(
    () => "end",
    (error: Error) => error.message,
  );
  happen(queue);
  expect(await waiting).toBe(expected);
});

test("says which of its bounds was too little", async () => {
  const heavy = new BoundedQueue<string>(10, new ByteBudget(100));
  heavy.push("a", 1);
  heavy.push("b", 100);
  await expect(heavy.next()).rejects.toThrow("the reader is more than 100 bytes behind");
});

test("takes exactly as many items and bytes as it may", () => {
  const queue = new BoundedQueue<string>(3, new ByteBudget(100));
  expect([queue.push("a", 60), queue.push("b", 40), queue.push("c")]).toEqual([true, true, true]);
  expect(queue.push("d")).toBe(false);
});

test("an item that came with the abort is not lost: the next reader gets it", async () => {
  const queue = new BoundedQueue<string>(2);
  const controller = new AbortController();
  const next = queue.next(controller.signal);
  queue.push("kept");
  controller.abort(new Error("left"));
  await expect(next).rejects.toThrow("left");
  expect(await queue.next()).toBe("kept");
  await expect(queue.next(controller.signal)).rejects.toThrow("left");
});

test("a reader that waits many times on one signal leaves nothing on it", async () => {
  const queue = new BoundedQueue<number>(2);
  const { signal } = new AbortController();
  for (let n = 0; n < 100; n++) {
    const next = queue.next(signal);
    queue.push(n);
    expect(await next).toBe(n);
  }
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
});

test("items that are nothing much are items all the same", async () => {
  const queue = new BoundedQueue<unknown>(10);
  for (const item of [0, "", false, null]) queue.push(item);
  queue.end();
  expect(await Array.fromAsync(queue)).toEqual([0, "", false, null]);
});

test("whoever leaves a loop over it leaves the rest in it", async () => {
  const queue = new BoundedQueue<number>(10);
  for (const item of [1, 2, 3]) queue.push(item);
  for await (const item of queue) if (item === 2) break;
  expect(await queue.next()).toBe(3);
});
