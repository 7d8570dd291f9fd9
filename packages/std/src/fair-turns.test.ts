import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { FairTurns } from "./fair-turns.ts";

test("does one piece in each turn of the loop", async () => {
  const turns = new FairTurns(setImmediate);
  const perTurn: number[] = [];
  let done = 0;
  const pieces = Array.from({ length: 20 }, async () => {
    await turns.take("a");
    done++;
  });
  const all = Promise.all(pieces);
  while (done < 20) {
    const before = done;
    await setImmediate();
    perTurn.push(done - before);
  }
  await all;
  expect(Math.max(...perTurn)).toBe(1);
});

test("whoever has little to do does not wait for all of somebody who has much", async () => {
  const turns = new FairTurns(setImmediate);
  const order: string[] = [];
  const piece = async (who: string) => {
    await turns.take(who);
    order.push(who);
  };
  const much = Array.from({ length: 50 }, () => piece("a"));
  await Promise.all([piece("b"), piece("c")]);
  expect(order).toEqual(["a", "b", "c"]);
  await Promise.all([...much, piece("b")]);
  expect(order.lastIndexOf("b")).toBe(4);
});

test("goes on after it had nothing to do", async () => {
  const turns = new FairTurns(setImmediate);
  await turns.take("a");
  await setImmediate();
  await setImmediate();
  await expect(turns.take("a")).resolves.toBeUndefined();
});
