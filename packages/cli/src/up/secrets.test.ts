import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadSecrets } from "./secrets.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-secrets-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("makes them once, root-only, and finds them again", () => {
  const made = loadSecrets(dir);
  expect(loadSecrets(dir)).toEqual(made);
  expect(statSync(join(dir, "secrets.json")).mode & 0o777).toBe(0o600);
  expect(new Set(Object.values(made)).size).toBe(Object.keys(made).length);
});

test.each([
  ["not JSON", "{"],
  ["half of them", '{"installationId":"x"}'],
])("a damaged file (%s) is said, not replaced", (_what, content) => {
  writeFileSync(join(dir, "secrets.json"), content);
  expect(() => loadSecrets(dir)).toThrow("is damaged");
});

test("an installation of before links worked once gets a secret for them, and keeps everything else", () => {
  const { loginSecret: _, ...before } = loadSecrets(dir);
  writeFileSync(join(dir, "secrets.json"), JSON.stringify({ ...before, loginToken: "f".repeat(48) }));
  const after = loadSecrets(dir);
  expect(after).toEqual({ ...before, loginSecret: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(loadSecrets(dir)).toEqual(after);
});
