import { expect, test } from "vitest";
import { decodeLine, LineSplitter } from "./decode.ts";

test.each([
  ["as printed", '{"type":"x"}'],
  ["with CR", '{"type":"x"}\r'],
  ["between colours and cursor commands", '\u001b[?25l\u001b[2K\u001b[1;31m{"type":"x"}\u001b[0m\u001b[?25h'],
  ["after a window title", '\u001b]0;claude \u0007{"type":"x"}'],
  ["after a title ended by ST", '\u001b]0;claude\u001b\\{"type":"x"}'],
  ["after a hyperlink and a charset switch", '\u001b]8;;\u0007\u001b(B{"type":"x"}'],
  ["after a byte order mark", '\uFEFF{"type":"x"}'],
  ["after a prompt", '$ {"type":"x"}  '],
])("finds the JSON %s", (_how, line) => {
  expect(decodeLine(line)).toEqual({ kind: "json", value: { type: "x" } });
  expect(decodeLine(new TextEncoder().encode(line))).toEqual({ kind: "json", value: { type: "x" } });
});

test("escapes and braces inside of strings stay", () => {
  const value = { type: "x", text: "\u001b[31mred\u001b[0m } \r\n\u0000{" };
  expect(decodeLine(`\u001b[2K${JSON.stringify(value)}\r`)).toEqual({ kind: "json", value });
});

test.each(["", "Hello.", '{"type":"torn', "[1,2]", "null", "42", "}{", '"{"', "\u001b[0m"])(
  "%j is text, not an error",
  (line) => {
    expect(decodeLine(line).kind).toBe("text");
  },
);

test("bytes that are no UTF-8 do not throw", () => {
  expect(decodeLine(new Uint8Array([0xff, 0xfe, 0x80])).kind).toBe("text");
});

test.each([1, 2, 5, 1000])("lines keep their offsets when they come in pieces of %i bytes", (size) => {
  const bytes = new TextEncoder().encode("eins\nzwölf\n\nrest");
  const splitter = new LineSplitter({ offset: 100 });
  const lines = [];
  for (let at = 0; at < bytes.length; at += size) lines.push(...splitter.push(bytes.subarray(at, at + size)));
  const decoded = lines.map((line) => [new TextDecoder().decode(line.bytes), line.endOffset]);
  expect(decoded).toEqual([
    ["eins", 105],
    ["zwölf", 112],
    ["", 113],
  ]);
  expect(splitter.pendingBytes).toBe(4);
  expect(new TextDecoder().decode(splitter.end()?.bytes)).toBe("rest");
  expect(splitter.end()).toBeUndefined();
});

test("a line beyond the limit is cut and marked, the next one is whole", () => {
  const splitter = new LineSplitter({ maxLineBytes: 4 });
  const lines = splitter.push(new TextEncoder().encode("123456\n12\n"));
  expect(lines.map((line) => [line.bytes.length, line.truncated, line.endOffset])).toEqual([
    [4, true, 7],
    [2, false, 10],
  ]);
});
