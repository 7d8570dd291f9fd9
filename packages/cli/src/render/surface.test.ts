import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { cleanText, fit, widthOf } from "./clean.ts";
import { liveSurface, wrap } from "./surface.ts";

/** What a terminal of some columns shows after it was sent this: only the controls that we use. */
function screen(sent: string, columns: number): string[] {
  const rows: string[][] = [[]];
  let y = 0;
  let x = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal acts on
  for (const [, control, text] of sent.matchAll(/\u001b\[([\d;]*[A-Za-z])|([\s\S])/g)) {
    if (control !== undefined) {
      const count = Number.parseInt(control, 10) || 1;
      if (control.endsWith("A")) y = Math.max(0, y - count);
      else if (control.endsWith("J")) {
        rows.length = y + 1;
        rows[y] = (rows[y] ?? []).slice(0, x);
      }
    } else if (text === "\r") x = 0;
    else if (text === "\n") {
      y += 1;
      x = 0;
      rows[y] ??= [];
    } else {
      if (x >= columns) {
        y += 1;
        x = 0;
        rows[y] ??= [];
      }
      rows[y]?.splice(x, 1, text ?? "");
      x += 1;
    }
  }
  return rows.map((row) => row.join("").trimEnd());
}

function live(columns: number) {
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns });
  let sent = "";
  stdout.on("data", (chunk: Buffer) => {
    sent += chunk.toString();
  });
  const surface = liveSurface({ stdout, paint: (_style, text) => text });
  return { surface, shown: () => screen(sent, columns) };
}

test("text that comes in pieces is shown once, broken at words, with the status below it", () => {
  const { surface, shown } = live(30);
  const text = "The quick brown fox jumps over the lazy dog.\nThen it sleeps.";
  surface.status("Claude is working");
  for (const char of text) surface.stream(char);
  expect(shown().slice(0, 3)).toEqual(["The quick brown fox jumps", "over the lazy dog.", "Then it sleeps."]);
  expect(shown()[3]).toContain("Claude is working");
  surface.endStream();
  surface.print("done");
  surface[Symbol.dispose]();
  expect(shown()).toEqual(["The quick brown fox jumps", "over the lazy dog.", "Then it sleeps.", "done", ""]);
});

test("a word longer than a row is cut, wide characters count twice", () => {
  expect(wrap("a".repeat(25), 10)).toEqual({ full: `${"a".repeat(10)}\n${"a".repeat(10)}\n`, rest: "aaaaa" });
  expect(wrap("漢字漢字漢字", 10)).toEqual({ full: "漢字漢字漢\n", rest: "字" });
  expect(widthOf("🔧 é")).toBe(4);
  expect(fit("漢字漢字", 5)).toBe("漢字…");
});

test("empty lines and tabs survive", () => {
  expect(wrap("a\n\n\tb\nc", 20)).toEqual({ full: "a\n\n    b\n", rest: "c" });
});

test("what steers a terminal is shown, not sent", () => {
  expect(cleanText("\u001b]0;evil\u0007\u001b[2Jok\r\nnext\ttab")).toBe("␛]0;evil␇␛[2Jok\nnext\ttab");
  expect(cleanText("\u009b31m\u202etxt")).toBe("<U+009B>31m<U+202E>txt");
});
