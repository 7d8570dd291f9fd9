import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { LogFile } from "./log-file.ts";

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "holdfast-log-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("however much is logged, two files of the given size are all there is", () => {
  const dir = directory();
  using log = new LogFile(join(dir, "a.log"), { maxBytes: 1_000 });
  for (let n = 0; n < 500; n++) log.write(`line ${n}`);
  expect(readdirSync(dir).toSorted()).toEqual(["a.log", "a.log.1"]);
  expect(statSync(join(dir, "a.log")).size).toBeLessThanOrEqual(1_000);
  const kept = readFileSync(join(dir, "a.log.1"), "utf8") + readFileSync(join(dir, "a.log"), "utf8");
  expect(kept.endsWith("line 498\nline 499\n")).toBe(true);
});

test("a log of before goes on, and counts", () => {
  const path = join(directory(), "a.log");
  writeFileSync(path, "x".repeat(990));
  using log = new LogFile(path, { maxBytes: 1_000 });
  log.write("1");
  log.write("a line of more than ten bytes");
  expect(readFileSync(path, "utf8")).toBe("a line of more than ten bytes\n");
});

test("what cannot be written is dropped, and counted where it can be told again", () => {
  const dir = directory();
  using log = new LogFile(join(dir, "missing", "a.log"));
  log.write("lost");
  using full = new LogFile("/dev/full");
  full.write("lost");
  full.write("lost");
});
