import { describe, expect, test } from "vitest";
import { wordsFor, wrongAt } from "../test/_kit.ts";
import { type IdKind, idPrefixes, idSchema, isId, newId } from "./ids.ts";

const prefixes: Record<IdKind, string> = {
  account: "acc",
  apiKey: "key",
  workspace: "wsp",
  agent: "agent",
  environment: "env",
  session: "sesn",
  event: "sevt",
  process: "prc",
  sandbox: "sbx",
  sync: "syn",
  request: "req",
  server: "srv",
  rule: "rule",
  login: "login",
  terminal: "term",
};
const kinds = Object.keys(prefixes) as IdKind[];

test("prefixes stay what they are: they are stored", () => {
  expect(idPrefixes).toEqual(prefixes);
});

test("no two kinds share a prefix, and none is another's beginning with its line", () => {
  expect(new Set(Object.values(idPrefixes)).size).toBe(kinds.length);
  for (const prefix of Object.values(idPrefixes)) expect(prefix).toMatch(/^[a-z]+$/);
});

describe.each(kinds)("an id of the kind %s", (kind) => {
  const id = newId(kind);

  test("is its prefix, a line and 26 signs", () => {
    expect(id).toMatch(new RegExp(`^${prefixes[kind]}_[0-9A-HJKMNP-TV-Z]{26}$`));
  });

  test("is known as one of its kind and of no other", () => {
    expect(kinds.filter((other) => isId(other, id))).toEqual([kind]);
  });

  test("says what it should look like when it is another", () => {
    const other = kind === "session" ? "event" : "session";
    expect(wordsFor(idSchema(kind), newId(other))).toEqual([`must look like ${prefixes[kind]}_…`]);
  });

  test.each([
    ["nothing", ""],
    ["the prefix alone", prefixes[kind]],
    ["the prefix with its line", `${prefixes[kind]}_`],
    ["a prefix in capitals", id.replace(prefixes[kind], prefixes[kind].toUpperCase())],
    ["no prefix", id.slice(prefixes[kind].length + 1)],
    ["something before it", ` ${id}`],
    ["a line behind it", `${id}\n`],
    ["a second line in it", `${prefixes[kind]}_a\nb`],
    ["a path", `${prefixes[kind]}_../../etc`],
    ["a slash", `${prefixes[kind]}_a/b`],
    ["a sign of a URL", `${prefixes[kind]}_a%2e`],
    ["a NUL", `${prefixes[kind]}_a\u0000`],
    ["letters of another alphabet", `${prefixes[kind]}_äß`],
    ["another line", `${prefixes[kind]}_a_b`],
    ["65 signs", `${prefixes[kind]}_${"a".repeat(65)}`],
  ])("is not %s", (_what, text) => {
    expect(isId(kind, text)).toBe(false);
  });

  test("may be of another installation, with 1 to 64 letters and digits", () => {
    expect(isId(kind, `${prefixes[kind]}_a`)).toBe(true);
    expect(isId(kind, `${prefixes[kind]}_${"aZ09".repeat(16)}`)).toBe(true);
  });
});

test.each([null, undefined, 5, {}, ["sesn_a"]])("%j is no id", (value) => {
  expect(wrongAt(idSchema("session"), value)).toEqual([""]);
});

test("ids of later moments sort behind, from 1970 to the year 10889", () => {
  const moments = [0, 1, 31, 32, 1_023, 1_024, 1_700_000_000_000, 1_700_000_000_001, 2 ** 41, 2 ** 48 - 1];
  const ids = moments.map((moment) => newId("event", moment));
  expect([...ids].sort()).toEqual(ids);
  expect(new Set(ids.map((id) => id.length))).toEqual(new Set(["sevt_".length + 26]));
});

test("the first ten signs are the moment, in base 32", () => {
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  for (const moment of [0, 33, 1_767_225_600_000, 2 ** 48 - 1]) {
    const signs = [...newId("session", moment).slice("sesn_".length, "sesn_".length + 10)];
    expect(signs.reduce((sum, sign) => sum * 32 + alphabet.indexOf(sign), 0)).toBe(moment);
  }
});

test("parts of a millisecond do not matter", () => {
  expect(newId("event", 1_000.75).slice(0, 15)).toBe(newId("event", 1_000).slice(0, 15));
});

test("without a moment it is now", () => {
  const before = newId("event", Date.now()).slice(0, 15);
  const made = newId("event").slice(0, 15);
  const after = newId("event", Date.now()).slice(0, 15);
  expect([before, made, after]).toEqual([before, made, after].sort());
});

test("ids of one moment are all different", () => {
  const ids = Array.from({ length: 20_000 }, () => newId("event", 1_000));
  expect(new Set(ids).size).toBe(ids.length);
});

test("every sign of the random part is in use, in every place", () => {
  const tails = Array.from({ length: 2_000 }, () => newId("event", 0).slice(-16));
  for (let place = 0; place < 16; place++) expect(new Set(tails.map((tail) => tail[place])).size).toBe(32);
});
