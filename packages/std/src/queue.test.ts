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
