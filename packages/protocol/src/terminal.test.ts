import { expect, test } from "vitest";
import { TerminalHeard, terminalFrame, terminalFrameParts } from "./terminal.ts";

test("a frame carries its offset and its bytes, wherever it lies in memory", () => {
  const bytes = Uint8Array.of(0, 255, 10, 195);
  for (const offset of [0, 1, 255, 2 ** 32 + 7, Number.MAX_SAFE_INTEGER]) {
    const frame = terminalFrame(offset, bytes);
    expect(terminalFrameParts(frame)).toEqual({ offset, bytes });
    const inside = new Uint8Array(frame.length + 9);
    inside.set(frame, 5);
    expect(terminalFrameParts(inside.subarray(5, 5 + frame.length))).toEqual({ offset, bytes });
  }
});

test("what is no frame is known as none", () => {
  expect(terminalFrameParts(new Uint8Array(7))).toBeUndefined();
  expect(terminalFrameParts(new Uint8Array(8).fill(255))).toBeUndefined();
  expect(terminalFrameParts(new Uint8Array(8))).toEqual({ offset: 0, bytes: new Uint8Array() });
});

test("a size is one that a terminal can have", () => {
  expect(TerminalHeard.safeParse({ type: "resize", rows: 24, cols: 80 }).success).toBe(true);
  for (const size of [{ rows: 0, cols: 80 }, { rows: 24, cols: 1001 }, { rows: 24 }, { rows: 2.5, cols: 8 }])
    expect(TerminalHeard.safeParse({ type: "resize", ...size }).success).toBe(false);
});
