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

/** Turns that come when the test says so. */
function byHand() {
  const waiting: PromiseWithResolvers<void>[] = [];
  const order: string[] = [];
  const turns = new FairTurns(() => {
    const turn = Promise.withResolvers<void>();
    waiting.push(turn);
    return turn.promise;
  });
  const take = (who: string) => turns.take(who).then(() => order.push(who));
  /** One turn, and what it let run. */
  const turn = async (end: (turn: PromiseWithResolvers<void>) => void = ({ resolve }) => resolve()) => {
    const next = waiting.shift();
    if (next !== undefined) end(next);
    await setImmediate();
  };
  return { take, turn, order, waiting };
}

test("nothing is done before the first turn, and one turn is asked for, however many wait", async () => {
  const { take, turn, order, waiting } = byHand();
  const all = Promise.all(["a", "a", "b"].map(take));
  await setImmediate();
  expect([order, waiting.length]).toEqual([[], 1]);
  await turn();
  expect([order, waiting.length]).toEqual([["a"], 1]);
  await turn();
  await turn();
  await all;
  expect(order).toEqual(["a", "b", "a"]);
});

test("of many with any number of pieces, nobody is ever more than one piece ahead of another who waits", async () => {
  const { take, turn, order } = byHand();
  const sizes = { a: 7, b: 1, c: 4, d: 7 };
  const all = Promise.all(
    Object.entries(sizes).flatMap(([who, size]) => Array.from({ length: size }, () => take(who))),
  );
  const done = (who: string) => order.filter((each) => each === who).length;
  for (let n = 0; n < 19; n++) {
    await turn();
    const waiting = Object.entries(sizes).filter(([who, size]) => done(who) < size);
    const counts = waiting.map(([who]) => done(who));
    if (counts.length > 0) expect(Math.max(...counts) - Math.min(...counts), order.join("")).toBeLessThanOrEqual(1);
  }
  await all;
  expect(order).toHaveLength(19);
});

test("whoever comes while others wait goes behind them, not behind all of their pieces", async () => {
  const { take, turn, order } = byHand();
  const first = ["a", "b", "a", "b"].map(take);
  await turn();
  const late = take("c");
  for (let n = 0; n < 4; n++) await turn();
  await Promise.all([...first, late]);
  expect(order).toEqual(["a", "b", "a", "c", "b"]);
});

test("a turn that fails is a turn: nobody waits for ever", async () => {
  const { take, turn, order } = byHand();
  const all = Promise.all(["a", "b"].map(take));
  await turn(({ reject }) => reject(new Error("no turn")));
  await turn(({ reject }) => reject(new Error("no turn")));
  await all;
  expect(order).toEqual(["a", "b"]);
});

test("asks for no turns while nobody waits", async () => {
  const { take, turn, waiting } = byHand();
  const piece = take("a");
  await turn();
  await piece;
  // It looks once more whether anybody has come.
  await turn();
  expect(waiting).toEqual([]);
});
