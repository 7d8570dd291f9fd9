import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { completeLock } from "./complete-lock.ts";

test("an optional package that npm left out is added with its platform", () => {
  const packages = {
    "node_modules/tool": { version: "1.0.0", license: "MIT", optionalDependencies: { "tool-darwin-arm64": "^1.0.0" } },
  };
  expect(completeLock(packages)).toEqual(["tool-darwin-arm64"]);
  expect(packages).toHaveProperty(["node_modules/tool-darwin-arm64"], {
    version: "1.0.0",
    cpu: ["arm64"],
    license: "MIT",
    optional: true,
    os: ["darwin"],
  });
  expect(completeLock(packages)).toEqual([]);
});

test("this project's lock is complete, so that npm ci takes it", () => {
  const path = join(import.meta.dirname, "..", "package-lock.json");
  const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Parameters<typeof completeLock>[0] };
  expect(completeLock(lock.packages)).toEqual([]);
});
