import { expect, test } from "vitest";
import { HeartbeatJudge } from "./heartbeat-judge.ts";

const judge = () => new HeartbeatJudge({ deadMs: 12_000, blindMs: 6_000 });

/** Looks once a second; `beats` tells the count at each moment. */
function look(it: HeartbeatJudge, from: number, to: number, beats: (ms: number) => number): number | undefined {
  for (let ms = from; ms <= to; ms += 1_000) {
    const dead = it.observe([{ id: "a", beats: beats(ms) }], ms);
    if (dead.length > 0) return ms;
  }
  return undefined;
}

test("one that beats lives, however its count began", () => {
  expect(look(judge(), 0, 100_000, (ms) => 7 + Math.floor(ms / 3_000))).toBeUndefined();
});

test("one whose count stands still is dead after the time to live, counted from the last change", () => {
  expect(look(judge(), 0, 100_000, (ms) => Math.min(5, Math.floor(ms / 3_000)))).toBe(15_000 + 12_000);
});

test("one that was never seen to beat gets the whole time, too", () => {
  expect(look(judge(), 50_000, 100_000, () => 3)).toBe(62_000);
});

test("an observer that was stopped, or could not look, judges nobody by that time", () => {
  const it = judge();
  expect(look(it, 0, 5_000, () => 1)).toBeUndefined();
  // Stopped for a minute.
  expect(look(it, 65_000, 76_000, () => 1)).toBeUndefined();
  expect(look(it, 77_000, 77_000, () => 1)).toBe(77_000);
});

test("a row that is gone is forgotten", () => {
  const it = judge();
  look(it, 0, 5_000, () => 1);
  it.observe([], 6_000);
  expect(look(it, 7_000, 18_000, () => 1)).toBeUndefined();
});

test("only the dead are named", () => {
  const it = judge();
  for (let ms = 0; ms < 12_000; ms += 1_000)
    it.observe(
      [
        { id: "a", beats: 1 },
        { id: "b", beats: ms },
      ],
      ms,
    );
  expect(
    it.observe(
      [
        { id: "a", beats: 1 },
        { id: "b", beats: 99 },
      ],
      12_000,
    ),
  ).toEqual([{ id: "a", beats: 1 }]);
});
