import { describe, expect, test } from "vitest";
import { type Bound, misjudged, seeded, seededBytes, wrongAt } from "../test/_kit.ts";
import { terminalSaid } from "../test/examples/terminals.ts";
import {
  maxInputBytes,
  TerminalCreate,
  TerminalHeard,
  TerminalSaid,
  TerminalSize,
  terminalFrame,
  terminalFrameParts,
} from "./terminal.ts";

const edges = [
  0,
  1,
  255,
  256,
  65_535,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 32 + 7,
  Number.MAX_SAFE_INTEGER - 1,
  Number.MAX_SAFE_INTEGER,
];

test("a frame carries its offset and its bytes, wherever it lies in memory", () => {
  const bytes = Uint8Array.of(0, 255, 10, 195);
  for (const offset of edges) {
    const frame = terminalFrame(offset, bytes);
    expect(terminalFrameParts(frame)).toEqual({ offset, bytes });
    const inside = new Uint8Array(frame.length + 9);
    inside.set(frame, 5);
    expect(terminalFrameParts(inside.subarray(5, 5 + frame.length))).toEqual({ offset, bytes });
  }
});

test.each([
  [0, [0, 0, 0, 0, 0, 0, 0, 0]],
  [1, [0, 0, 0, 0, 0, 0, 0, 1]],
  [256, [0, 0, 0, 0, 0, 0, 1, 0]],
  [2 ** 32 + 7, [0, 0, 0, 1, 0, 0, 0, 7]],
  [Number.MAX_SAFE_INTEGER, [0, 31, 255, 255, 255, 255, 255, 255]],
])("the offset %i is written with its highest byte first", (offset, bytes) => {
  expect([...terminalFrame(offset, Uint8Array.of(42))]).toEqual([...bytes, 42]);
});

test("a frame is its own memory: later changes of what it was made of do not matter", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  const frame = terminalFrame(0, bytes);
  bytes.fill(9);
  expect(terminalFrameParts(frame)?.bytes).toEqual(Uint8Array.of(1, 2, 3));
});

test("any bytes at any offset come out as they went in", () => {
  const next = seeded(20);
  for (let round = 0; round < 500; round++) {
    const offset = (next() % 2 ** 21) * 2 ** 32 + next();
    const bytes = seededBytes(next, next() % 300);
    expect(terminalFrameParts(terminalFrame(offset, bytes))).toEqual({ offset, bytes });
  }
});

test("a frame of the largest input comes out whole", () => {
  const bytes = seededBytes(seeded(21), maxInputBytes);
  expect(terminalFrameParts(terminalFrame(7, bytes))).toEqual({ offset: 7, bytes });
});

test("a frame that is cut anywhere is none, or its beginning", () => {
  const bytes = seededBytes(seeded(22), 64);
  const frame = terminalFrame(2 ** 40 + 3, bytes);
  for (let length = 0; length <= frame.length; length++) {
    const parts = terminalFrameParts(frame.subarray(0, length));
    if (length < 8) expect(parts).toBeUndefined();
    else expect(parts).toEqual({ offset: 2 ** 40 + 3, bytes: bytes.subarray(0, length - 8) });
  }
});

test("output that is cut at every place is put together again by its offsets", () => {
  const output = seededBytes(seeded(23), 120);
  for (let cut = 0; cut <= output.length; cut++) {
    const frames = [terminalFrame(cut, output.subarray(cut)), terminalFrame(0, output.subarray(0, cut))];
    const whole = new Uint8Array(output.length);
    for (const frame of frames) {
      const parts = terminalFrameParts(frame);
      whole.set(parts?.bytes ?? [], parts?.offset);
    }
    expect(whole).toEqual(output);
  }
});

test("random bytes are a frame exactly where their offset is one that can be counted", () => {
  const next = seeded(24);
  for (let round = 0; round < 2_000; round++) {
    const bytes = seededBytes(next, next() % 24);
    // Half of them with a small first half, or hardly any would be one.
    if (round % 2 === 0) bytes.fill(0, 0, Math.min(2, bytes.length));
    const parts = terminalFrameParts(bytes);
    const isCountable = bytes.length >= 8 && bytes[0] === 0 && (bytes[1] ?? 255) < 32;
    expect(parts !== undefined, bytes.join()).toBe(isCountable);
    if (parts !== undefined) expect(terminalFrame(parts.offset, parts.bytes)).toEqual(bytes);
  }
});

test("what is no frame is known as none", () => {
  expect(terminalFrameParts(new Uint8Array(0))).toBeUndefined();
  expect(terminalFrameParts(new Uint8Array(7))).toBeUndefined();
  expect(terminalFrameParts(new Uint8Array(8).fill(255))).toBeUndefined();
  expect(
    terminalFrameParts(Uint8Array.of(0, 32, 0, 0, 0, 0, 0, 0)),
    "the first that cannot be counted",
  ).toBeUndefined();
  expect(terminalFrameParts(new Uint8Array(8))).toEqual({ offset: 0, bytes: new Uint8Array() });
});

test.each([Number.NaN, Infinity, 0.5])("no frame is made at the offset %d", (offset) => {
  expect(() => terminalFrame(offset, new Uint8Array())).toThrow(RangeError);
});

const sizes: Bound[] = ["rows", "cols"].map((at) => ({
  rule: `${at} are 1 to 1000, whole`,
  at,
  takes: [1, 2, 24, 999, 1_000],
  refuses: [0, -1, 1_001, 2.5, 2 ** 53, Infinity, Number.NaN, "24", null, [24]],
}));

describe.each([
  ["a terminal's size", TerminalSize, {}],
  ["a terminal that is made", TerminalCreate, {}],
  ["a frame of a client", TerminalHeard, { type: "resize" }],
] as const)("%s", (_name, schema, more) => {
  test.each(sizes)("$rule", (bound) => {
    expect(misjudged(schema, { ...more, rows: 24, cols: 80 }, bound)).toEqual([]);
  });
});

test.each([
  [{}, { rows: 24, cols: 80 }],
  [{ rows: 50 }, { rows: 50, cols: 80 }],
  [{ cols: 132 }, { rows: 24, cols: 132 }],
])("a terminal that is made with %j has the size %j", (said, size) => {
  expect(TerminalCreate.parse(said)).toEqual(size);
});

test("another size names both of its numbers", () => {
  expect(wrongAt(TerminalSize, {})).toEqual(["rows", "cols"]);
  expect(wrongAt(TerminalHeard, { type: "resize", rows: 24 })).toEqual(["cols"]);
});

test.each(["input", "exit", "attached", "", null, 5])("a client's frame of the type %j is none", (type) => {
  expect(wrongAt(TerminalHeard, { type, rows: 24, cols: 80 })).toEqual(["type"]);
});

test("client and server do not speak each other's frames", () => {
  for (const said of Object.values(terminalSaid)) expect(wrongAt(TerminalHeard, said)).toEqual(["type"]);
  expect(wrongAt(TerminalSaid, { type: "resize", rows: 24, cols: 80 })).toEqual(["type"]);
});

test("an exit that nobody saw has no code", () => {
  expect(TerminalSaid.parse({ type: "exit", code: null })).toEqual({ type: "exit", code: null });
});
