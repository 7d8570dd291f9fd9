import { describe, expect, test } from "vitest";
import type { z } from "zod";
import { shapes } from "../test/_examples.ts";
import { holderOf, type Place, placesIn, throughJson, valueAt, withAt, without, wrongAt } from "../test/_kit.ts";
import type { Shape } from "../test/examples/shape.ts";

const isBelow = (place: Place, above: Place) => above === "" || place === above || place.startsWith(`${above}.`);

/** The places that a test looks at: not those inside of what may be anything. */
function placesOf({ example, anything = [] }: Shape): Place[] {
  return placesIn(example).filter((place) => !anything.some((above) => isBelow(place, above)));
}

/** Where the schema will say that something is wrong that is wrong at this place. */
function toldAt(place: Place, { unions = [] }: Shape): Place {
  return unions.find((union) => isBelow(place, union)) ?? place;
}

const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Each place with those of the values that the schema does not refuse exactly there. */
function surprises(shape: Shape, places: readonly Place[], valuesFor: (place: Place) => readonly unknown[]) {
  return places.flatMap((place) =>
    valuesFor(place)
      .map((value) => ({ place, value, wrong: wrongAt(shape.schema, withAt(shape.example, place, value)) }))
      .filter(({ wrong }) => wrong.length !== 1 || wrong[0] !== toldAt(place, shape)),
  );
}

/** Each place with those of the values that the schema refuses. */
function refused(shape: Shape, places: readonly Place[], valuesFor: (place: Place) => readonly unknown[]) {
  return places.flatMap((place) =>
    valuesFor(place)
      .map((value) => ({ place, value, wrong: wrongAt(shape.schema, withAt(shape.example, place, value)) }))
      .filter(({ wrong }) => wrong.length > 0),
  );
}

/** Values of the types that what stands at the place is not of. */
function othersThan(value: unknown): readonly unknown[] {
  const types = [5, "a text", true, [], {}];
  return types.filter((each) => Array.isArray(each) !== Array.isArray(value) || typeof each !== typeof value);
}

const parse = (schema: z.ZodType, value: unknown): unknown => schema.parse(value);

describe.each(shapes)("$name", (shape) => {
  const { schema, example, optional = [], defaulted = [], nullable = [], whole = [], fixed = [] } = shape;
  const { choices = {}, closed = [], records = [], ruled = [] } = shape;
  const places = placesOf(shape);
  const held = (place: Place) => valueAt(example, place);
  const isInRecord = (place: Place) => records.includes(holderOf(place));

  test("a whole one is kept as it is, over JSON too", () => {
    expect(parse(schema, example)).toEqual(example);
    expect(parse(schema, throughJson(parse(schema, example)))).toEqual(example);
  });

  test("one with only what must be there is kept as it is", () => {
    const inner = [...optional].sort((a, b) => b.length - a.length);
    const least = inner.reduce((value, place) => without(value, place), example);
    expect(wrongAt(schema, least)).toEqual([]);
    expect(throughJson(parse(schema, least))).toEqual(least);
  });

  test("each field that must be there is missed", () => {
    const fields = places.filter((place) => isObject(held(holderOf(place))) && !isInRecord(place));
    const wrong = Object.fromEntries(fields.map((place) => [place, wrongAt(schema, without(example, place))]));
    const mayMiss = [...optional, ...defaulted];
    const expected = fields.map((place) => [place, mayMiss.includes(place) ? [] : [toldAt(place, shape)]]);
    expect(wrong).toEqual(Object.fromEntries(expected));
  });

  test("each value of another type is refused where it stands", () => {
    const typed = places.filter(
      (place) => !ruled.includes(place) && !(held(place) === null && nullable.includes(place)),
    );
    expect(surprises(shape, typed, (place) => othersThan(held(place)))).toEqual([]);
  });

  test("null stands only where it may", () => {
    const isNull = (place: Place) => held(place) === null;
    const may = places.filter((place) => nullable.includes(place) || isNull(place));
    const mayNot = places.filter((place) => !may.includes(place));
    expect(refused(shape, may, () => [null])).toEqual([]);
    expect(surprises(shape, mayNot, () => [null])).toEqual([]);
  });

  test("numbers are numbers, and whole where parts mean nothing", () => {
    const numbers = places.filter((place) => typeof held(place) === "number");
    expect(numbers.filter((place) => whole.includes(place))).toEqual(whole);
    expect(surprises(shape, numbers, () => [Number.NaN, Infinity, -Infinity, "5", 5n])).toEqual([]);
    expect(surprises(shape, whole, () => [0.5, 2 ** 53])).toEqual([]);
    const parted = numbers.filter((place) => !whole.includes(place) && !ruled.includes(place));
    expect(refused(shape, parted, () => [0, 0.5, 1e9])).toEqual([]);
  });

  test("texts of a list are of the list, and every one of it", () => {
    const lists = Object.keys(choices);
    expect(refused(shape, lists, (place) => choices[place] ?? [])).toEqual([]);
    const strange = (place: Place) => ["", " ", "toString", "__proto__", `${choices[place]?.[0]}`.toUpperCase()];
    expect(surprises(shape, lists, strange)).toEqual([]);
  });

  test("what has one value has no other", () => {
    expect(surprises(shape, fixed, (place) => (held(place) === true ? [false] : ["", "other", "toString"]))).toEqual(
      [],
    );
  });

  test("every other text may say anything", () => {
    const free = places
      .filter((place) => typeof held(place) === "string")
      .filter((place) => !(place in choices) && !fixed.includes(place) && !ruled.includes(place));
    expect(refused(shape, free, () => ["", "\u0000", "é😀\ud800", "x".repeat(10_000), "__proto__"])).toEqual([]);
  });

  test("a field that nobody knows is dropped or refused", () => {
    const objects = ["", ...places].filter((place) => isObject(held(place)) && !records.includes(place));
    for (const place of objects) {
      const strange = place === "" ? "surprise" : `${place}.surprise`;
      const sent = withAt(example, strange, { deep: 1 });
      if (closed.includes(place)) expect(wrongAt(schema, sent)).toEqual([strange]);
      else expect(parse(schema, sent), place).toEqual(example);
    }
  });

  test("a record keeps every name but the one that is none", () => {
    for (const place of records) {
      const value = Object.values(held(place) as object)[0] as unknown;
      const named = withAt(withAt(example, `${place}.toString`, value), `${place}.constructor`, value);
      expect(throughJson(parse(schema, named))).toEqual(throughJson(named));
      expect(parse(schema, withAt(example, `${place}.__proto__`, value))).toEqual(example);
    }
  });

  test("nothing that is sent becomes a prototype", () => {
    for (const place of ["", ...places].filter((each) => isObject(held(each)))) {
      const sent = withAt(example, place === "" ? "__proto__" : `${place}.__proto__`, { polluted: true });
      const { data } = schema.safeParse(sent);
      expect((valueAt(data, place) as { polluted?: unknown } | undefined)?.polluted, place).toBeUndefined();
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test.each([null, undefined, 5, "{}", true, []])("it is no %j", (value) => {
    expect(wrongAt(schema, value)).toEqual([""]);
  });
});
