import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConfigFileError, checkConfig, readConfigFile, withConfig } from "./file.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-config-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const write = (value: unknown, mode = 0o600) => {
  const file = join(dir, "config.json");
  writeFileSync(file, typeof value === "string" ? value : JSON.stringify(value));
  chmodSync(file, mode);
};

test("no file is no configuration", async () => {
  expect(await readConfigFile(dir)).toEqual({});
});

test("all problems at once, each with its path and none with its value", async () => {
  write({
    server: { sandbox: { idleSandboxMs: "soon" }, loginSecret: "a-secret-value" },
    engine: { ociRuntime: "docker" },
    web: {},
  });
  const error = await readConfigFile(dir).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ConfigFileError);
  const { problems } = error as ConfigFileError;
  const about = (text: string) => problems.filter((problem) => problem.includes(text)).length;
  expect(about("server.sandbox.idleSandboxMs")).toBe(1);
  expect(about("server.loginSecret: cannot be set")).toBe(1);
  expect(about("engine.ociRuntime")).toBe(1);
  expect(about("web: cannot be set")).toBe(1);
  expect(problems.join()).not.toContain("a-secret-value");
});

test("what is not JSON, or not an object", async () => {
  expect((await checkConfig("{")).problems).toEqual([expect.stringContaining("not JSON")]);
  expect((await checkConfig("[]")).problems).toHaveLength(1);
  expect((await checkConfig("null")).problems).toHaveLength(1);
});

test("a file with a secret must be private", async () => {
  const storage = { buckets: { "agent-docs": "b" }, accessKeyId: "id", secretAccessKey: "a-secret" };
  write({ server: { s3: storage } }, 0o644);
  await expect(readConfigFile(dir)).rejects.toMatchObject({ problems: [expect.stringContaining("chmod 600")] });
  write({ server: { s3: storage } });
  expect(await readConfigFile(dir)).toEqual({ server: { s3: storage } });
});

test("objects are merged, a storage is taken whole, the rest is replaced", () => {
  const options = { port: 1, sandbox: { cpu: 1, cpuLimit: 2 }, s3: { endpoint: "http://local" }, allowedHosts: ["a"] };
  const config = { server: { sandbox: { cpu: 4 }, s3: { region: "eu" }, allowedHosts: ["b"] } };
  expect(withConfig(config, "server", options)).toEqual({
    port: 1,
    sandbox: { cpu: 4, cpuLimit: 2 },
    s3: { region: "eu" },
    allowedHosts: ["b"],
  });
  expect(withConfig(config, "engine", { port: 1 })).toEqual({ port: 1 });
});
