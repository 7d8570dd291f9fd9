import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fingerprint, loadKeys, seal, unseal } from "./seal.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-seal-"));
  mkdirSync(join(dir, "state"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("keys are made once, for their owner alone, and found again", () => {
  const keys = loadKeys(dir);
  expect(keys.seal).toHaveLength(32);
  expect(keys.sign).toHaveLength(32);
  expect(keys.seal.equals(keys.sign)).toBe(false);
  expect(statSync(join(dir, "state", "keys.json")).mode & 0o777).toBe(0o600);
  expect(loadKeys(dir)).toEqual(keys);
  expect(readdirSync(join(dir, "state"))).toEqual(["keys.json"]);
});

test("keys that are broken are an error: new ones would make every stored secret unreadable", () => {
  const keys = loadKeys(dir);
  const file = join(dir, "state", "keys.json");
  const whole = readFileSync(file, "utf8");
  writeFileSync(file, whole.slice(0, 20));
  expect(() => loadKeys(dir)).toThrow(/JSON/);
  // One that was torn while it was made counts as none.
  writeFileSync(file, whole);
  writeFileSync(`${file}.new`, "{");
  expect(loadKeys(dir)).toEqual(keys);
});

test("what was sealed is read with the same keys alone, shows nothing, and no byte of it can be changed", () => {
  const keys = loadKeys(dir);
  for (const value of [{}, { A: "" }, { TOKEN: "canary-secret", "ÄÖ\n": "\u0000" }, { BIG: "x".repeat(30_000) }])
    expect(unseal(keys, seal(keys, value))).toEqual(value);
  const value = { TOKEN: "canary-secret" };
  const sealed = seal(keys, value);
  expect(sealed.includes("canary")).toBe(false);
  expect(sealed.equals(seal(keys, value))).toBe(false);
  for (let at = 0; at < sealed.length; at++) {
    const changed = Uint8Array.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 0x80;
    expect(() => unseal(keys, changed), `byte ${at}`).toThrow();
    expect(() => unseal(keys, sealed.subarray(0, at)), `${at} bytes`).toThrow();
  }
  const other = { seal: keys.sign, sign: keys.seal };
  expect(() => unseal(other, sealed)).toThrow();
});

test("a fingerprint is the same for the same, another for another text or key, and does not hold the text", () => {
  const keys = loadKeys(dir);
  expect(fingerprint(keys, "canary")).toBe(fingerprint(keys, "canary"));
  expect(fingerprint(keys, "canary")).not.toBe(fingerprint(keys, "canary "));
  expect(fingerprint(keys, "canary")).not.toBe(fingerprint({ ...keys, sign: keys.seal }, "canary"));
  expect(fingerprint(keys, "canary")).toMatch(/^[0-9a-f]{64}$/);
});
