import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readEnv } from "../config/env.ts";
import { redact, writeBundle } from "./bundle.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-bundle-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("the bundle holds versions and logs, and none of the secrets", () => {
  const secrets = { loginSecret: "f".repeat(48), s3SecretAccessKey: "plain-looking-secret" };
  writeFileSync(join(dir, "secrets.json"), JSON.stringify(secrets));
  mkdirSync(join(dir, "run", "logs"), { recursive: true });
  const log = `started\nkey plain-looking-secret used\nGET /login?token=abcdef\nsk-ant-api03-${"x".repeat(30)}\n`;
  writeFileSync(join(dir, "run", "logs", "server.log"), log);
  const env = readEnv({
    HOME: dir,
    HOLDFAST_API_KEY: "hfk_very_secret_key_of_mine",
    ANTHROPIC_API_KEY: "other-secret-value",
  });
  const file = join(dir, "bundle.json");
  writeBundle(file, {
    points: [{ name: "x", verdict: "note", text: "hfk_very_secret_key_of_mine" }],
    dataDir: dir,
    env,
  });
  const written = readFileSync(file, "utf8");
  expect(JSON.parse(written).logs["server.log"]).toContain("started");
  expect(JSON.parse(written).versions.node).toBe(process.version);
  for (const secret of ["f".repeat(48), "plain-looking", "abcdef", "xxxxxxxxxx", "very_secret", "other-secret"])
    expect(written).not.toContain(secret);
  expect(statSync(file).mode & 0o077).toBe(0);
});

test("only the end of a long log is taken, without its cut first line", () => {
  mkdirSync(join(dir, "run", "logs"), { recursive: true });
  writeFileSync(join(dir, "run", "logs", "engine.log"), `${"0123456789\n".repeat(50_000)}last\n`);
  const file = join(dir, "bundle.json");
  writeBundle(file, { points: [], dataDir: dir, env: readEnv({ HOME: dir }) });
  const { logs } = JSON.parse(readFileSync(file, "utf8")) as { logs: Record<string, string[]> };
  expect(statSync(file).size).toBeLessThan(300_000);
  expect(logs["engine.log"]?.[0]).toBe("0123456789");
  expect(logs["engine.log"]?.at(-2)).toBe("last");
});

test("a token in an address is hidden wherever it stands", () => {
  expect(redact("http://127.0.0.1:4600/login?token=abc123 and ?a=1&token=x", [])).toBe(
    "http://127.0.0.1:4600/login?token=•••• and ?a=1&token=••••",
  );
});
