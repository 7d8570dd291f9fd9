import { describe, expect, test } from "vitest";
import { shapes } from "../test/_examples.ts";
import { placesIn, seeded, throughJson, withAt, wrongAt } from "../test/_kit.ts";

/** What somebody may send who knows the names of fields and nothing else. */
const texts = [
  "",
  " ",
  "a",
  "0",
  "null",
  "__proto__",
  "constructor",
  "\u0000",
  "\ud800",
  "é😀",
  "x".repeat(300),
  "-p",
  "/etc",
];
const numbers = [0, -0, 1, -1, 0.5, 1e21, -1e21, 2 ** 31, 2 ** 53, Number.MAX_VALUE, Number.MIN_VALUE];

type Random = () => number;
const pick = <T>(next: Random, from: readonly T[]): T | undefined => from[next() % from.length];

function randomJson(next: Random, depth = 3): unknown {
  switch (next() % (depth === 0 ? 4 : 6)) {
    case 0:
      return pick(next, texts);
    case 1:
      return pick(next, numbers);
    case 2:
      return next() % 2 === 0;
    case 3:
      return null;
    case 4:
      return Array.from({ length: next() % 4 }, () => randomJson(next, depth - 1));
    default:
      return Object.fromEntries(
        Array.from({ length: next() % 4 }, () => [pick(next, texts) ?? "", randomJson(next, depth - 1)]),
      );
  }
}

/** The example with something else at up to three of its places. */
function spoiled(next: Random, example: unknown): unknown {
  let value = example;
  for (let changes = next() % 3; changes >= 0; changes--) {
    const place = pick(next, placesIn(value));
    if (place !== undefined && place !== "") value = withAt(value, place, randomJson(next));
  }
  return value;
}

const rounds = 40;

describe.each(shapes.map((shape, index) => ({ ...shape, seed: 100 + index })))(
  "$name, spoiled",
  ({ schema, example, seed }) => {
    const sent = () => {
      const next = seeded(seed);
      return Array.from({ length: rounds }, () => throughJson(spoiled(next, example)));
    };

    test("is taken or refused, never more", () => {
      for (const value of sent()) expect(() => schema.safeParse(value)).not.toThrow();
    });

    test("is refused at a place, in words", () => {
      for (const value of sent()) {
        for (const { path, message } of schema.safeParse(value).error?.issues ?? []) {
          expect(message.length).toBeGreaterThan(0);
          expect(path.every((part) => typeof part === "string" || typeof part === "number")).toBe(true);
        }
      }
    });

    test("is after one look what it is after two", () => {
      for (const value of sent()) {
        const { success, data } = schema.safeParse(value);
        if (success) expect(schema.parse(throughJson(data))).toEqual(throughJson(data));
      }
    });

    test("is left as it was by whoever looks", () => {
      for (const value of sent()) {
        const before = JSON.stringify(value);
        wrongAt(schema, value);
        expect(JSON.stringify(value)).toBe(before);
      }
    });
  },
);

test.each(shapes)("$name is no random value", ({ schema }) => {
  const next = seeded(99);
  const taken = Array.from({ length: 300 }, () => randomJson(next)).filter((value) => schema.safeParse(value).success);
  // A text may be all of it, and where everything may be left out, so is an object of nothing that is known.
  const known = taken
    .filter((value) => typeof value === "object")
    .filter((value) => Object.keys(value ?? {}).some((name) => Object.hasOwn(schema.parse(value) as object, name)));
  expect(known).toEqual([]);
});
