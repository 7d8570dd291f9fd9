import { expect, test } from "vitest";
import { domainMatcher, normaliseHost } from "./domains.ts";

test("exact names match themselves only, wildcards everything below at any depth", () => {
  const matches = domainMatcher(["Example.com.", "*.deep.org"]);
  expect(["example.com", "a.deep.org", "a.b.deep.org"].every(matches)).toBe(true);
  expect(["x.example.com", "deep.org", "notdeep.org", "example.com.evil.net"].some(matches)).toBe(false);
});

test("host names are normalised; addresses and odd characters are none", () => {
  expect(normaliseHost("A.Example.COM.")).toBe("a.example.com");
  for (const bad of ["", ".", "1.2.3.4", "a..b", "-a.com", "a/b", "a b", "é.com", `${"a".repeat(64)}.com`]) {
    expect(normaliseHost(bad)).toBeUndefined();
  }
});
