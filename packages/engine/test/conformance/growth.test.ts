import { grown } from "@holdfast/testkit/holdings";
import { expect, it } from "vitest";
import { growEngine } from "./_growth.ts";

/** A tenth of what `bench/growth.ts` does. */
const count = 200;
const megabytes = 40;

it(`holds after ${count} sandboxes and ${count} execs what it held before`, { timeout: 600_000 }, async () => {
  for (const [name, growth] of Object.entries(await growEngine(count, megabytes))) {
    expect(growth.before["keeper: mounts of its own"], name).toBeGreaterThan(0);
    expect(growth.before["rows of apps"], name).toBe(1);
    expect(grown(growth, megabytes), name).toEqual([]);
  }
});
