import { describe, expect, test } from "vitest";
import type { Command } from "./machine/_commands.ts";
import { checkProperty, explain, playCase } from "./machine/_property.ts";

/**
 * A session's life at random: what people ask, what Claude Code does, what fails, and servers that die in the middle of
 * it; the real Turns, Sessions, Messages and EventLog on a database in memory, with a guest, a Claude and a time that
 * are the test's (`machine/`). After each step, and when all has come to rest, what must always hold is looked at
 * (`machine/_checks.ts`). docs/properties.md says how to play one again; `bench/session-property.ts` plays more, and
 * shows with planted faults that this finds them.
 */
const runs = Number(process.env.SESSION_PROPERTY_RUNS ?? 250);

test(`${runs} lives of a session break nothing`, { timeout: 300_000 }, async () => {
  const seed = Number(process.env.SESSION_PROPERTY_SEED ?? 2_026_11);
  const report = await checkProperty({ runs, seed, limitMs: 20_000 });
  expect(report.failure === undefined ? "" : explain(report)).toBe("");
});

const then = (what: object, waitMs: number) => ({ ...what, waitMs }) as Command;

/** What was found once, as short as it could be made. */
const found: Record<string, { seed: number; delayMs: number; commands: Command[] }> = {
  "a message that Claude has not begun is not given up for another one that runs now": {
    seed: 1,
    delayMs: 0,
    commands: [then({ do: "send", delivery: "next" }, 40), then({ do: "send", delivery: "now" }, 2_500)],
  },
};

describe("found before:", () => {
  for (const [what, given] of Object.entries(found)) {
    test(what, async () => {
      const { broken, trace } = await playCase(given);
      expect(broken === undefined ? "" : `${broken}\n${trace.join("\n")}`).toBe("");
    });
  }
});
