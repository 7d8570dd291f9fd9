import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CliError } from "../command.ts";
import { readEnv } from "./env.ts";
import { readLogin, writeLogin } from "./login-file.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "holdfast-login-"));
});
afterEach(() => rmSync(home, { recursive: true }));

test("a login is read back, and is its owner's alone", () => {
  const path = readEnv({ XDG_CONFIG_HOME: home }).configFile;
  expect(path).toBe(join(home, "holdfast", "config.json"));
  expect(readLogin(path)).toBeUndefined();
  writeLogin(path, { url: "http://127.0.0.1:4600", apiKey: "hfk_1" });
  writeLogin(path, { url: "http://127.0.0.1:4600", apiKey: "hfk_2" });
  expect(readLogin(path)).toEqual({ url: "http://127.0.0.1:4600", apiKey: "hfk_2" });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(home, "holdfast")).mode & 0o777).toBe(0o700);
  expect(readdirSync(join(home, "holdfast"))).toEqual(["config.json"]);
});

test.each(["{", "{}", "null", '{"url":1}'])("a damaged file (%s) is said, with the way out", (content) => {
  const path = join(home, "config.json");
  writeFileSync(path, content);
  expect(() => readLogin(path)).toThrow(CliError);
  expect(() => readLogin(path)).toThrow("cannot be read");
});
