import { describe, expect, it } from "vitest";
import { Segments } from "./segments.ts";

function filled(...sizes: number[]): Segments {
  const segments = new Segments();
  for (const size of sizes) {
    segments.begin();
    segments.grow(size);
  }
  return segments;
}

describe("Segments", () => {
  it("is empty at first", () => {
    const { start, end, bytes, last } = new Segments();
    expect({ start, end, bytes, last }).toEqual({ start: 0, end: 0, bytes: 0, last: undefined });
    expect(() => new Segments().grow(1)).toThrow(RangeError);
  });

  it("counts what was written, finds each byte's segment", () => {
    const segments = filled(10, 5);
    expect([segments.start, segments.end, segments.bytes]).toEqual([0, 15, 15]);
    expect(segments.find(9)).toEqual({ start: 0, end: 10 });
    expect(segments.find(10)).toEqual({ start: 10, end: 15 });
    expect(segments.find(15)).toBeUndefined();
  });

  it("drops whole segments below an offset, never the last", () => {
    const segments = filled(10, 10, 10);
    expect(segments.dropBelow(9)).toEqual([]);
    expect(segments.dropBelow(10)).toEqual([{ start: 0, end: 10 }]);
    expect([segments.start, segments.bytes]).toEqual([10, 20]);
    expect(segments.dropBelow(1_000)).toEqual([{ start: 10, end: 20 }]);
    expect([segments.start, segments.end, segments.bytes]).toEqual([20, 30, 10]);
  });

  it("keeps its offsets when everything is dropped", () => {
    const segments = filled(10, 5);
    expect([segments.dropFirst()?.start, segments.dropFirst()?.start, segments.dropFirst()]).toEqual([
      0,
      10,
      undefined,
    ]);
    expect([segments.start, segments.end, segments.bytes]).toEqual([15, 15, 0]);
    expect(segments.begin()).toEqual({ start: 15, end: 15 });
    segments.grow(3);
    expect([segments.start, segments.end]).toEqual([15, 18]);
  });

  it("goes on from what an earlier run left", () => {
    const segments = new Segments([
      { start: 10, end: 12 },
      { start: 4, end: 10 },
    ]);
    expect([segments.start, segments.end, segments.bytes, segments.last?.start]).toEqual([4, 12, 8, 10]);
  });
});
