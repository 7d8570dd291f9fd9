import { describe, expect, test } from "vitest";
import { z } from "zod";
import { wordsFor, wrongAt } from "../../test/_kit.ts";
import {
  archived,
  choice,
  choices,
  created,
  eventPaging,
  flag,
  integer,
  limit,
  list,
  order,
  type Parameter,
  paging,
  text,
  word,
} from "./parameters.ts";

const taken = ({ schema }: Parameter, values: readonly unknown[]) =>
  values.filter((value) => wrongAt(schema, value).length > 0);
const refused = ({ schema }: Parameter, values: readonly unknown[]) =>
  values.filter((value) => wrongAt(schema, value).length === 0);

const noNumbers = ["5", "", null, Number.NaN, Infinity, -Infinity, 1.5, true, [5], {}, 2 ** 53, -(2 ** 53), 1e300];

describe("a whole number", () => {
  const bounded = integer({ min: 1, max: 10 }, "Some");
  const open = integer({ min: 0 }, "Some");

  test("is in its bounds", () => {
    expect(taken(bounded, [1, 2, 10])).toEqual([]);
    expect(refused(bounded, [0, 11, -1, ...noNumbers])).toEqual([]);
  });

  test("without an upper bound is one that can be counted", () => {
    expect(taken(open, [0, 1, Number.MAX_SAFE_INTEGER])).toEqual([]);
    expect(refused(open, [-1, Number.MAX_SAFE_INTEGER + 1, ...noNumbers])).toEqual([]);
  });

  test("says its bounds whatever is wrong with it", () => {
    for (const value of [0, 11, 1.5, "x"])
      expect(wordsFor(bounded.schema, value)).toContain("must be a whole number from 1 to 10");
    expect(wordsFor(open.schema, -1)).toContain("must be a whole number");
  });

  test("that was not sent is none", () => {
    expect(bounded.schema.safeParse(undefined).success).toBe(false);
    expect(bounded).toMatchObject({ form: "integer", description: "Some" });
  });
});

describe.each([
  ["a list's limit", paging.limit, 100, 20],
  ["a limit of events", eventPaging.limit, 1000, 100],
  ["another limit", limit(7, 3), 7, 3],
] as const)("%s", (_name, parameter, most, fallback) => {
  test(`is 1 to ${most}`, () => {
    expect(taken(parameter, [1, most])).toEqual([]);
    expect(refused(parameter, [0, -1, most + 1, ...noNumbers])).toEqual([]);
  });

  test(`is ${fallback} where nobody says one`, () => {
    expect(parameter.schema.parse(undefined)).toBe(fallback);
  });
});

test("a page is what the page before said", () => {
  expect(paging.page.form).toBe("text");
  expect(taken(paging.page, ["eyJhIjoxfQ", "x"])).toEqual([]);
  expect(eventPaging.page).toBe(paging.page);
});

test.each([
  ["text", text("Some")],
  ["word", word("Some")],
] as const)("a %s is what was sent", (form, parameter) => {
  expect(parameter).toMatchObject({ form, description: "Some" });
  expect(taken(parameter, ["a", "é😀", " "])).toEqual([]);
  expect(refused(parameter, [5, null, undefined, ["a"]])).toEqual([]);
});

test("a text may have rules of its own", () => {
  const short = text("Some", z.string().max(3));
  expect(taken(short, ["abc"])).toEqual([]);
  expect(refused(short, ["abcd"])).toEqual([]);
});

describe("a flag", () => {
  test("is false where nobody says it", () => {
    expect(flag("Some").schema.parse(undefined)).toBe(false);
    expect(archived.schema.parse(undefined)).toBe(false);
  });

  test("is true or false and no other word", () => {
    expect(taken(flag("Some"), [true, false])).toEqual([]);
    expect(refused(flag("Some"), ["true", "1", "", 1, 0, null, []])).toEqual([]);
    expect(wordsFor(flag("Some").schema, "yes")).toEqual(["must be true or false"]);
  });
});

describe("a choice", () => {
  test("is one of its words", () => {
    expect(taken(order, ["asc", "desc"])).toEqual([]);
    expect(refused(order, ["", "ASC", "ascending", null, undefined, 1, ["asc"], "__proto__", "toString"])).toEqual([]);
  });

  test("says its words", () => {
    expect(wordsFor(order.schema, "up")).toEqual(["must be asc or desc"]);
    expect(wordsFor(choice(["a", "b", "c"], "Some").schema, "d")).toEqual(["must be one of a, b, c"]);
  });
});

describe("a list", () => {
  const letters = choices(["a", "b"], "Some");

  test("has any number of its words", () => {
    expect(taken(letters, [[], ["a"], ["a", "b", "a"]])).toEqual([]);
    expect(refused(letters, ["a", null, undefined, {}])).toEqual([]);
  });

  test("names the one that is wrong, and says what may stand there", () => {
    expect(wrongAt(letters.schema, ["a", "c"])).toEqual(["1"]);
    expect(wordsFor(letters.schema, ["c"])).toEqual(["must be one of a, b"]);
  });

  test("may be of anything that its items are", () => {
    expect(taken(list(z.string(), "Some"), [["x", ""]])).toEqual([]);
    expect(refused(list(z.string(), "Some"), [[5]])).toEqual([]);
  });
});

describe.each(Object.entries(created))("the time %s", (name, parameter) => {
  const at = (value: string) => parameter.schema.parse(value);

  test("is sent as a text", () => {
    expect(name).toMatch(/^created_at\[(gte|lte|gt|lt)\]$/);
    expect(parameter.form).toBe("text");
  });

  test.each([
    ["2026-01-31T12:00:00Z", 1_769_860_800_000],
    ["2026-01-31T12:00Z", 1_769_860_800_000],
    ["2026-01-31t12:00:00z", 1_769_860_800_000],
    ["2026-01-31T13:30:00+01:30", 1_769_860_800_000],
    ["2026-01-31T10:00:00-02:00", 1_769_860_800_000],
    ["2026-01-31T12:00:00.250Z", 1_769_860_800_250],
    ["2026-01-31T12:00:00.2504999Z", 1_769_860_800_250],
    ["1970-01-01T00:00:00Z", 0],
    ["1969-12-31T23:59:59Z", -1_000],
    ["2024-02-29T00:00:00Z", 1_709_164_800_000],
  ])("%s is the millisecond %i", (value, moment) => {
    expect(at(value)).toBe(moment);
  });

  test.each([
    "",
    "now",
    "2026-01-31",
    "2026-01-31T12:00:00",
    "2026-01-31 12:00:00Z",
    "12:00:00Z",
    "1769860800000",
    "2026-13-01T00:00:00Z",
    "2026-01-32T00:00:00Z",
    "2026-00-10T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2024-02-30T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-11-31T12:00:00+01:00",
    "2026-01-31T24:00:00Z",
    "2026-01-31T25:00:00Z",
    "2026-01-31T12:60:00Z",
    "2026-01-31T12:00:61Z",
    "2026-01-31T12:00:00+24:00",
    "2026-01-31T12:00:00+0100",
    "+002026-01-31T12:00:00Z",
    "2026-1-31T12:00:00Z",
    "2026-01-31T12:00:00Z\n",
    " 2026-01-31T12:00:00Z",
    "２０２６-01-31T12:00:00Z",
    "2026-01-31T12:00:00.Z",
  ])("%j is none, and it is said how one looks", (value) => {
    expect(wordsFor(parameter.schema, value)).toEqual(["must be a time as in 2026-01-31T12:00:00Z"]);
  });

  test.each([5, null, undefined, ["2026-01-31T12:00:00Z"], new Date(0)])("%j is none", (value) => {
    expect(wrongAt(parameter.schema, value)).toEqual([""]);
  });
});
