import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

interface Outcome {
  outcome: string;
  errors: string[];
  dense: boolean;
  events: number;
  ranInOrder: boolean;
  results: number[];
  said: string[];
  recoveredMs: number[];
}

test("packets between server and engine are dropped, in each direction and both, for one to eight seconds: the turn goes on and nothing is lost", async () => {
  const driver = join(import.meta.dirname, "_cut-driver.ts");
  const run = promisify(execFile)("unshare", ["--net", process.execPath, driver], { timeout: 280_000 });
  const line = (await run).stdout.trim().split("\n").at(-1) ?? "";
  const seen = JSON.parse(line) as Outcome;
  console.info(`after the cut: first event again after ${seen.recoveredMs.join(", ")} ms`);
  expect(seen).toMatchObject({ outcome: "completed", errors: [], dense: true, ranInOrder: true });
  expect(seen.said).toEqual(Array.from({ length: seen.results.length }, (_, n) => `Step ${n}.`));
  expect(new Set(seen.results)).toEqual(new Set([1]));
  // All five cuts fall into the turn.
  expect(seen.recoveredMs).toHaveLength(5);
  for (const ms of seen.recoveredMs) expect(ms).toBeLessThan(10_000);
}, 300_000);
