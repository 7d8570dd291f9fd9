import { expect, test } from "vitest";
import { safeHref } from "./links.ts";

test.each([
  ["https://example.org/a?b#c", "https://example.org/a?b#c"],
  ["http://127.0.0.1:3000/", "http://127.0.0.1:3000/"],
  ["mailto:a@example.org", "mailto:a@example.org"],
  ["#section", "#section"],
  ["docs/readme.md", "docs/readme.md"],
  ["./a/b.ts#L3", "./a/b.ts#L3"],
])("%s may be followed", (href, want) => {
  expect(safeHref(href)).toBe(want);
});

test.each([
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  " javascript:alert(1)",
  "java\nscript:alert(1)",
  "data:text/html,<b>",
  "vbscript:x",
  "file:///etc/passwd",
  "//evil.example",
  "blob:https://example.org/x",
])("%j is shown as text", (href) => {
  expect(safeHref(href)).toBeNull();
});
