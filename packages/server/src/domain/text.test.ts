import { expect, test } from "vitest";
import { decodeText, encodeText } from "./text.ts";

const samples = [
  "",
  "plain",
  "ÄÖ 漢字 😀",
  "a\u0000b",
  "\uD800",
  "\uDC00x",
  "x\uD83D",
  '\u0001json:"x"',
  "\uDE00\uD83D",
];

test("any text survives, and nothing stored holds a NUL or a lone surrogate", () => {
  for (const text of samples) {
    const stored = encodeText(text);
    expect(stored).not.toContain("\u0000");
    expect(stored.isWellFormed()).toBe(true);
    expect(decodeText(stored)).toBe(text);
  }
});

test("ordinary text is stored as it is", () => {
  expect(encodeText("😀 fine")).toBe("😀 fine");
});
