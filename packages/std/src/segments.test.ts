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

/** The same numbers for the same seed, so that a failure can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
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

  it("without a byte hold none, and the stream goes on where it was", () => {
    const segments = new Segments();
    expect(segments.begin()).toEqual({ start: 0, end: 0 });
    expect([segments.find(0), segments.dropBelow(100), segments.bytes]).toEqual([undefined, [], 0]);
    segments.begin();
    segments.grow(0);
    segments.grow(2);
    expect(segments.find(0)).toEqual({ start: 0, end: 2 });
    // The empty one before it goes with the first that is asked for.
    expect(segments.dropBelow(1)).toEqual([{ start: 0, end: 0 }]);
  });

  it("find nothing before the first byte that is there, nor behind the last", () => {
    const segments = new Segments([{ start: 4, end: 6 }]);
    expect([3, 4, 5, 6, -1].map((offset) => segments.find(offset)?.start)).toEqual([
      undefined,
      4,
      4,
      undefined,
      undefined,
    ]);
  });

  it("have nothing to drop when there is nothing", () => {
    const segments = new Segments();
    expect([segments.dropBelow(10), segments.dropFirst(), segments.last]).toEqual([[], undefined, undefined]);
  });

  it("have every byte in exactly one segment, whatever was written and dropped", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = randomOf(seed);
      const segments = new Segments();
      const dropped: number[] = [];
      let written = 0;
      for (let n = 0; n < 100; n++) {
        const kind = random(10);
        if (kind < 2 || segments.last === undefined) segments.begin();
        else if (kind < 8) {
          const bytes = random(20);
          segments.grow(bytes);
          written += bytes;
        } else {
          const below = random(written + 10);
          const gone = kind === 8 ? segments.dropBelow(below) : [segments.dropFirst()];
          for (const each of gone) {
            if (each === undefined) continue;
            if (kind === 8) expect(each.end).toBeLessThanOrEqual(below);
            for (let at = each.start; at < each.end; at++) dropped.push(at);
          }
        }
        const { start, end, bytes } = segments;
        expect([end, bytes], `seed ${seed}`).toEqual([written, written - dropped.length]);
        // What is gone went from the beginning, in order and once.
        expect(dropped.length, `seed ${seed}`).toBe(start);
        expect(dropped.every((at, place) => at === place)).toBe(true);
        const found = Array.from({ length: written }, (_, at) => segments.find(at));
        expect(found.findIndex((each) => each !== undefined)).toBe(bytes === 0 ? -1 : start);
        expect(found.every((each, at) => each === undefined || (each.start <= at && at < each.end))).toBe(true);
        expect(found.filter((each) => each !== undefined)).toHaveLength(bytes);
      }
    }
  });
});
