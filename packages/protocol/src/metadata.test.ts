import { describe, expect, test } from "vitest";
import { wordsFor, wrongAt } from "../test/_kit.ts";
import { Metadata, MetadataPatch, patchMetadata } from "./metadata.ts";

const bag = (size: number) => Object.fromEntries(Array.from({ length: size }, (_, index) => [`k${index}`, "v"]));

describe.each([
  ["metadata", Metadata, 16],
  ["a patch of metadata", MetadataPatch, 64],
] as const)("%s", (_name, schema, most) => {
  test(`has up to ${most} keys`, () => {
    expect(schema.parse(bag(most))).toEqual(bag(most));
    expect(wrongAt(schema, bag(most + 1))).toEqual([""]);
    expect(wordsFor(schema, bag(most + 1)).join()).toContain(`more than ${most} keys`);
  });

  test("may be empty", () => {
    expect(schema.parse({})).toEqual({});
  });

  test("has keys of 1 to 64 characters", () => {
    const longest = { ["k".repeat(64)]: "v" };
    expect(schema.parse(longest)).toEqual(longest);
    expect(wrongAt(schema, { ["k".repeat(65)]: "v" })).toEqual(["k".repeat(65)]);
    expect(wrongAt(schema, { "": "v" })).toEqual([""]);
    expect(wordsFor(schema, { "": "v" })).toEqual(["a key has 1 to 64 characters"]);
  });

  test("has values of up to 512 characters", () => {
    const values = { empty: "", long: "v".repeat(512) };
    expect(schema.parse(values)).toEqual(values);
    expect(wrongAt(schema, { long: "v".repeat(513) })).toEqual(["long"]);
  });

  test.each([5, true, {}, ["a"], undefined])("has no value %j", (value) => {
    expect(wrongAt(schema, { key: value })).toEqual(["key"]);
  });

  test("names every key that is wrong", () => {
    expect(wrongAt(schema, { a: 1, b: "fine", c: 2 })).toEqual(["a", "c"]);
  });

  test("takes names that objects have anyhow as names like any other", () => {
    const odd = { constructor: "a", toString: "b", hasOwnProperty: "c" };
    expect(JSON.stringify(schema.parse(odd))).toBe(JSON.stringify(odd));
  });
});

test("only a patch has null, which deletes", () => {
  expect(MetadataPatch.parse({ a: null })).toEqual({ a: null });
  expect(wrongAt(Metadata, { a: null })).toEqual(["a"]);
});

test.each([
  { what: "sets", before: {}, patch: { a: "1" }, after: { a: "1" } },
  { what: "replaces", before: { a: "1" }, patch: { a: "2" }, after: { a: "2" } },
  { what: "replaces with nothing", before: { a: "1" }, patch: { a: "" }, after: { a: "" } },
  { what: "deletes", before: { a: "1", b: "2" }, patch: { a: null }, after: { b: "2" } },
  { what: "deletes what is not there", before: { b: "2" }, patch: { a: null }, after: { b: "2" } },
  {
    what: "keeps what it does not name",
    before: { a: "1", b: "2" },
    patch: { c: "3" },
    after: { a: "1", b: "2", c: "3" },
  },
  { what: "is empty", before: { a: "1" }, patch: {}, after: { a: "1" } },
  { what: "is null", before: { a: "1" }, patch: null, after: { a: "1" } },
  { what: "is absent", before: { a: "1" }, patch: undefined, after: { a: "1" } },
])("a patch that $what", ({ before, patch, after }) => {
  const kept = structuredClone(before);
  expect(patchMetadata(before, patch as MetadataPatch)).toEqual(after);
  expect(before, "what was given is not changed").toEqual(kept);
});

test("a patch keeps the order of keys that were there", () => {
  expect(Object.keys(patchMetadata({ a: "1", b: "2" }, { c: "3", a: "4" }))).toEqual(["a", "b", "c"]);
});

test("a name that would be a prototype becomes a field", () => {
  const patch = JSON.parse('{"__proto__":"evil"}') as MetadataPatch;
  const merged = patchMetadata({ a: "1" }, patch);
  expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  expect(Object.entries(merged)).toEqual([
    ["a", "1"],
    ["__proto__", "evil"],
  ]);
});
