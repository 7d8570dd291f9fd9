import { expect, it } from "vitest";
import { growEngine, grown } from "./_growth.ts";

/** A tenth of what `bench/growth.ts` does. */
const count = 200;

it(`holds after ${count} sandboxes and ${count} execs what it held before`, { timeout: 600_000 }, async () => {
  const parts = await growEngine(count, (before, now) => grown(before, now, 40).length === 0);
  for (const [name, { before, after }] of Object.entries(parts)) {
    expect(before["keeper: mounts of its own"], name).toBeGreaterThan(0);
    expect(grown(before, after, 40), name).toEqual([]);
  }
});
