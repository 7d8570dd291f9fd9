import { expect, test } from "vitest";
import { withoutQueries } from "./replay.ts";

const shown = (text: string) => Buffer.from(withoutQueries(Buffer.from(text))).toString();

test.each([
  "\u001b[c",
  "\u001b[>c",
  "\u001b[6n",
  "\u001b[?6n",
  "\u001b[?2026$p",
  "\u001b[>q",
  "\u001b[18t",
  "\u001b[?u",
  "\u001b]11;?\u0007",
  "\u001b]10;?\u001b\\",
  "\u001b]4;1;?\u0007",
  "\u001bP+q544e\u001b\\",
  "\u001bP$qm\u001b\\",
])("%j is not asked again", (query) => {
  expect(shown(`zäh ${query}日本`)).toBe("zäh 日本");
});

test("what draws stays", () => {
  const text =
    "\u001b[?1049h\u001b[1;31mred\u001b[0m\u001b[10;20H\u001b]0;title\u0007\u001b[2J\u001b[?25l\u001b(B\u001b[3q";
  expect(shown(text)).toBe(text);
  const bytes = Uint8Array.of(0xff, 0xc3, 0x28, 0x00);
  expect(Uint8Array.from(withoutQueries(bytes))).toEqual(bytes);
});
