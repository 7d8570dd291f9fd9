import { expect, test } from "vitest";
import { Recent } from "./recent.ts";

test("whatever was put into it, as many as were used last are in it", () => {
  const recent = new Recent<number, string>(100);
  for (let n = 0; n < 10_000; n++) {
    recent.set(n, `${n}`);
    expect(recent.get(0)).toBe("0");
  }
  expect(recent.size).toBe(100);
  expect(recent.get(9_901)).toBe("9901");
  expect(recent.has(9_900)).toBe(false);
});

test("set again it is one entry, with the new value", () => {
  const recent = new Recent<string, number>(2);
  for (const value of [1, 2, 3]) recent.set("a", value);
  recent.set("b", 1);
  expect([recent.get("a"), recent.size]).toEqual([3, 2]);
  recent.clear();
  expect(recent.size).toBe(0);
});
