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

test("is what a list of the last used would be, whatever is done with it", () => {
  for (let max = 0; max <= 6; max++) {
    let state = max + 1;
    const random = (below: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const recent = new Recent<number, number>(max);
    // Oldest first.
    let list: [key: number, value: number][] = [];
    const use = (key: number, value: number) => {
      list = [...list.filter(([other]) => other !== key), [key, value] as [number, number]].slice(max === 0 ? 1 : -max);
    };
    for (let n = 0; n < 1_000; n++) {
      const key = random(10);
      const known = list.find(([other]) => other === key)?.[1];
      const kind = random(100);
      if (kind === 0) {
        recent.clear();
        list = [];
      } else if (kind < 40) {
        recent.set(key, n);
        use(key, n);
      } else {
        if (kind < 70) expect(recent.get(key)).toBe(known);
        else expect(recent.has(key)).toBe(known !== undefined);
        if (known !== undefined) use(key, known);
      }
      expect(recent.size).toBe(list.length);
    }
  }
});

test("values that are nothing much are values", () => {
  const recent = new Recent<string, unknown>(10);
  for (const [key, value] of Object.entries({ zero: 0, text: "", no: false, nothing: null })) {
    recent.set(key, value);
    expect([recent.get(key), recent.has(key)]).toEqual([value, true]);
  }
});
