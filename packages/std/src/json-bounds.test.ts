import { describe, expect, it } from "vitest";
import { type JsonBounds, JsonBoundsError, JsonMeter, keepsJsonBounds } from "./json-bounds.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const unbounded: JsonBounds = { bytes: 1e9, depth: 1e9, keys: 1e9, values: 1e9 };
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The same numbers for the same seed, so that a failure can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Everything that could be taken for structure, inside of strings. */
const texts = ["", "a", '"', "\\", '\\"', "\\\\", "{[", "]}", ":,", "\n\t", "ü🚀", '"]}{[:,\\'];

function randomJson(random: (below: number) => number, depth: number): Json {
  const kind = random(depth === 0 ? 4 : 7);
  if (kind === 0) return null;
  if (kind === 1) return random(2) === 0;
  if (kind === 2) return (random(2_000_000) - 1_000_000) / 2 ** random(12);
  if (kind === 3) return `${texts[random(texts.length)]}${texts[random(texts.length)]}`;
  const items = Array.from({ length: random(5) }, () => randomJson(random, depth - 1));
  if (kind === 4) return items;
  return Object.fromEntries(items.map((item, n) => [`${n}${texts[random(texts.length)]}`, item]));
}

/** The exact bounds of a document, counted in what `JSON.parse` makes of it. An empty list counts as one value. */
function measure(text: string): JsonBounds {
  const count = (value: Json): Omit<JsonBounds, "bytes"> => {
    if (typeof value !== "object" || value === null) return { depth: 0, keys: 0, values: 0 };
    const members = Object.values(value);
    const inner = members.map(count);
    const sum = (of: "keys" | "values") => inner.reduce((total, each) => total + each[of], 0);
    return {
      depth: 1 + Math.max(0, ...inner.map((each) => each.depth)),
      keys: sum("keys") + (Array.isArray(value) ? 0 : members.length),
      values: sum("values") + Math.max(1, members.length),
    };
  };
  return { bytes: Buffer.byteLength(text), ...count(JSON.parse(text) as Json) };
}

/** Which bound the text breaks, when it comes in chunks of `size`. */
function brokenBound(text: string, bounds: JsonBounds, size: number): keyof JsonBounds | undefined {
  const meter = new JsonMeter(bounds);
  const bytes = bytesOf(text);
  try {
    for (let at = 0; at < bytes.length; at += size) meter.push(bytes.subarray(at, at + size));
  } catch (error) {
    if (error instanceof JsonBoundsError) return error.bound;
    throw error;
  }
  return undefined;
}

describe("a JSON meter", () => {
  it("takes any document at exactly its size, and refuses it at one less, however it is written and cut", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = randomOf(seed);
      const text = JSON.stringify(randomJson(random, 5), null, random(2) * 2);
      const exact = measure(text);
      const size = 1 + random(9);
      expect(brokenBound(text, exact, size), `seed ${seed}: ${text}`).toBeUndefined();
      for (const bound of ["bytes", "depth", "keys", "values"] as const) {
        if (exact[bound] === 0) continue;
        const tight = { ...unbounded, [bound]: exact[bound] - 1 };
        expect(brokenBound(text, tight, size), `seed ${seed}, ${bound}: ${text}`).toBe(bound);
      }
    }
  });

  it("takes what is in strings for text, wherever the stream is cut", () => {
    const text = JSON.stringify({ a: '{[{["\\', b: '\\\\"', c: "\\" });
    for (let cut = 0; cut <= text.length; cut++) {
      const meter = new JsonMeter({ ...unbounded, depth: 1, keys: 3 });
      meter.push(bytesOf(text.slice(0, cut)));
      expect(() => meter.push(bytesOf(text.slice(cut))), `cut at ${cut}`).not.toThrow();
    }
  });

  it("counts bytes, not characters", () => {
    expect(keepsJsonBounds(bytesOf('"🚀"'), { ...unbounded, bytes: 6 })).toBe(true);
    expect(keepsJsonBounds(bytesOf('"🚀"'), { ...unbounded, bytes: 5 })).toBe(false);
  });

  it("refuses in the middle, before the rest has come", () => {
    const meter = new JsonMeter({ ...unbounded, depth: 3 });
    meter.push(bytesOf("[[["));
    expect(() => meter.push(bytesOf("["))).toThrow(JsonBoundsError);
  });

  it("counts depth down where something ends, keys and values never", () => {
    const siblings = `[${Array.from({ length: 50 }, () => '{"a":[]}').join(",")}]`;
    expect(brokenBound(siblings, { ...unbounded, depth: 3 }, 1)).toBeUndefined();
    expect(brokenBound(siblings, { ...unbounded, keys: 49 }, 1)).toBe("keys");
    expect(brokenBound(siblings, { ...unbounded, values: 149 }, 1)).toBe("values");
    expect(brokenBound(siblings, { ...unbounded, keys: 50, values: 150 }, 1)).toBeUndefined();
  });

  it("lets pass what is no JSON and keeps the bounds: the parser says so", () => {
    for (const text of ["", "]]]", '"open', "nul", '{"a" 1}', "\u0000"])
      expect(keepsJsonBounds(bytesOf(text), { bytes: 10, depth: 3, keys: 1, values: 3 }), text).toBe(true);
  });

  it.each([
    ["bytes", "12345", "has more than 1 bytes"],
    ["depth", "[[", "has more than 1 objects or lists inside one another"],
    ["keys", '{"a":1,"b":2}', "has more than 1 fields"],
    ["values", "[1,2,3]", "has more than 1 values"],
  ] as const)("says that there is too much of %s, in words", (bound, text, message) => {
    const meter = new JsonMeter({ ...unbounded, [bound]: 1 });
    expect(() => meter.push(bytesOf(text))).toThrow(
      expect.objectContaining({ name: "JsonBoundsError", bound, message }),
    );
  });

  it("does not hide errors that are no bounds", () => {
    expect(() => keepsJsonBounds(undefined as unknown as Uint8Array, unbounded)).toThrow(TypeError);
  });
});
