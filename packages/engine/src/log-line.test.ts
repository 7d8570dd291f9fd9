import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LineLog } from "./log-line.ts";
import { createLogger } from "./logger.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-log-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe("a log", () => {
  it("on a full disk is dropped and counted, and fails nobody", () => {
    const fd = openSync("/dev/full", "w");
    const log = new LineLog(fd);
    for (const line of ["one", "two"]) log.write(line);
    expect(log.dropped).toBe(2);
    closeSync(fd);
    log.write("three");
    expect(log.dropped).toBe(3);
  });

  it("begins anew where it would grow beyond its bound", () => {
    const path = join(dir, "log");
    const fd = openSync(path, "a");
    const log = new LineLog(fd, { maxBytes: 1_000 });
    for (let n = 0; n < 1_000; n++) log.write(`line ${n}`);
    const kept = readFileSync(path, "utf8");
    expect(kept.length).toBeLessThan(1_100);
    expect(kept.endsWith("line 999\n")).toBe(true);
    closeSync(fd);
  });

  it("writes lines whole", () => {
    const path = join(dir, "log");
    const fd = openSync(path, "a");
    const log = new LineLog(fd);
    createLogger("info", { write: (line) => log.write(line.trimEnd()) }).info({ part: "x" }, "said");
    closeSync(fd);
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ part: "x", msg: "said" });
  });
});
