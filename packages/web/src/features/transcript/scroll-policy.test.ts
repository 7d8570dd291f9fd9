import { expect, test } from "vitest";
import { initialScroll, type ScrollInput, type ScrollState, scrollPolicy } from "./scroll-policy.ts";

const run = (inputs: ScrollInput[], from: ScrollState = initialScroll) => inputs.reduce(scrollPolicy, from);
const scrolled = (direction: "up" | "down" | "none", distancePx: number, byReader = true): ScrollInput => ({
  type: "scrolled",
  direction,
  distancePx,
  byReader,
});

test("a view follows from the start and stays so while rows come", () => {
  expect(run([{ type: "rows", added: 5 }, scrolled("down", 0, false)])).toEqual({ following: true, unseen: 0 });
});

test("the reader's way up lets go, however small", () => {
  expect(run([scrolled("up", 10)]).following).toBe(false);
  expect(run([{ type: "released" }, scrolled("up", 30)]).following).toBe(false);
});

test("what the page itself moves changes nothing", () => {
  expect(run([scrolled("up", 500, false)]).following).toBe(true);
  expect(run([{ type: "released" }, scrolled("down", 0, false)]).following).toBe(false);
});

test("the way back down takes hold within 60 px of the end and not before", () => {
  expect(run([{ type: "released" }, scrolled("down", 61)]).following).toBe(false);
  expect(run([{ type: "released" }, scrolled("down", 60)])).toEqual({ following: true, unseen: 0 });
});

test("rows that came meanwhile are counted, and forgotten on the jump", () => {
  const away = run([{ type: "released" }, { type: "rows", added: 2 }, { type: "rows", added: 3 }]);
  expect(away).toEqual({ following: false, unseen: 5 });
  expect(run([{ type: "jumped" }], away)).toEqual({ following: true, unseen: 0 });
  expect(run([{ type: "sent" }], away)).toEqual({ following: true, unseen: 0 });
});

test("an input that changes nothing gives the same object", () => {
  expect(scrollPolicy(initialScroll, { type: "jumped" })).toBe(initialScroll);
  expect(scrollPolicy(initialScroll, scrolled("none", 0))).toBe(initialScroll);
});
