import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { noteProcess, predecessorsGone } from "./predecessors.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-before-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("a service of before that still ends is waited for", async () => {
  const child = spawn("sleep", ["1000"]);
  if (child.pid === undefined) throw new Error("not started");
  noteProcess(dir, "s3", child.pid);
  let isGone = false;
  const waiting = predecessorsGone(dir).then(() => {
    isGone = true;
  });
  await expect.poll(() => readdirSync(dir)).toEqual(["s3.pid"]);
  expect(isGone).toBe(false);
  child.kill("SIGTERM");
  await once(child, "exit");
  await waiting;
  expect(readdirSync(dir)).toEqual([]);
});

test("a pid that is another's by now, and files that say nothing, keep nobody waiting", async () => {
  writeFileSync(join(dir, "engine.pid"), `${process.pid} 1`);
  writeFileSync(join(dir, "server.pid"), "");
  await predecessorsGone(dir);
  expect(readdirSync(dir)).toEqual([]);
});
