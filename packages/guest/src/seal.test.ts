import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { Sealer, sealKeyBytes, Unsealer } from "./seal.ts";

const key = () => randomBytes(sealKeyBytes);

test("what was sealed is opened again in order, whatever its size, and shows nothing of itself", () => {
  const shared = key();
  const [sealer, unsealer] = [new Sealer(shared), new Unsealer(shared)];
  const seen = new Set<string>();
  for (const size of [0, 1, 15, 16, 17, 65_535, 65_536, 300_000]) {
    const plain = Buffer.alloc(size, "canary");
    const sealed = Buffer.from(sealer.seal(plain));
    expect(sealed.includes("canary")).toBe(false);
    seen.add(sealed.subarray(0, 16).toString("hex"));
    expect(Buffer.from(unsealer.open(sealed)).equals(plain)).toBe(true);
  }
  // The same twice looks different.
  expect(Buffer.from(sealer.seal(Buffer.from("twice"))).equals(Buffer.from(sealer.seal(Buffer.from("twice"))))).toBe(
    false,
  );
  expect(seen.size).toBe(8);
});

test("anything else is refused: another key, another place, a changed or missing byte", () => {
  const shared = key();
  const pieces = () => {
    const sealer = new Sealer(shared);
    return ["one", "two"].map((text) => sealer.seal(Buffer.from(text)));
  };
  const [one = new Uint8Array(), two = new Uint8Array()] = pieces();
  expect(() => new Unsealer(key()).open(one)).toThrow();
  expect(() => new Unsealer(shared).open(two)).toThrow();
  for (let at = 0; at < one.length; at++) {
    const changed = Uint8Array.from(one);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(() => new Unsealer(shared).open(changed)).toThrow();
    expect(() => new Unsealer(shared).open(one.subarray(0, at))).toThrow();
  }
  expect(() => new Sealer(randomBytes(16))).toThrow("16 bytes");
});
