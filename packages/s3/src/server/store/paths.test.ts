import { describe, expect, it } from "vitest";
import { fromBinary, keyToComponents, parseEntryName, toBinary } from "./paths.ts";

const KEYS = [
  "a",
  "a/b",
  "a//b",
  "/",
  "//",
  ".",
  "..",
  "../../etc/passwd",
  "a/",
  "é/😀",
  "%41",
  "~x",
  "=x",
  "+x",
  "\u0000",
  "x\n",
];
const LONG = ["s".repeat(79), "s".repeat(80), "s".repeat(81), "s".repeat(160), "é".repeat(500), `${"s".repeat(80)}/t`];

describe("keys as paths", () => {
  it.each([...KEYS, ...LONG])("gives every component of %j a safe name, and the key back", (key) => {
    const components = keyToComponents(toBinary(key));
    for (const name of components) {
      expect(name).toMatch(/^[=+~][ -.0-~]*$/);
      expect(name.length).toBeLessThanOrEqual(255);
    }
    const parsed = components.map((name) => parseEntryName(name));
    expect(parsed.map((entry) => entry?.isObject)).toEqual(components.map((_, i) => i === components.length - 1));
    expect(fromBinary(parsed.map((entry) => entry?.adds).join(""))).toBe(key);
  });

  it("gives different keys different paths", () => {
    const keys = [...KEYS, ...LONG];
    const paths = new Set(keys.map((key) => keyToComponents(toBinary(key)).join("/")));
    expect(paths.size).toBe(keys.length);
  });

  it("does not read names it did not write", () => {
    expect(parseEntryName("lost+found")).toBeUndefined();
  });
});
