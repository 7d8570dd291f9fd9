/**
 * What account B notices of account A, which does everything that one account can do to the others (fills the disk,
 * prints without end, sends requests of every bad shape, takes the kernel's counters, forks, eats memory, opens
 * sandboxes and streams), one after the other and together. B works on: turns, streams, saves, /health, a list.
 * Run as root: `node bench/neighbour.ts [seconds for each]`. Prints medians, p99 and the ratio to B alone.
 */
import { loadavg } from "node:os";
import { createTestKit } from "@holdfast/testkit";
import { attacked, ratio, runNeighbours, table } from "./neighbour/run.ts";
import { kinds } from "./neighbour/samples.ts";

const seconds = Number(process.argv[2] ?? 20);
await using kit = await createTestKit();
const result = await runNeighbours(kit, { stretchMs: seconds * 1000, say: (text) => console.error(`-> ${text}`) });
console.log(
  `${seconds} s each, load ${loadavg()[0]?.toFixed(1)}; median / p99 ms (samples), p99 as a multiple of that alone\n`,
);
console.log(table(result));
const all = attacked(result);
console.log(
  `\nAll together: ${kinds.map((kind) => `${kind} ${ratio(all, result.alone, kind).toFixed(2)}`).join(", ")}`,
);
for (const { name, samples, told } of result.stretches) {
  for (const line of told) console.log(`${name}: A: ${line}`);
  for (const failure of samples.failures) console.log(`${name}: B FAILED: ${failure}`);
}
for (const failure of result.alone.failures) console.log(`B alone FAILED: ${failure}`);
const failures = all.failures.length + result.alone.failures.length;
process.exitCode = failures > 0 || kinds.some((kind) => ratio(all, result.alone, kind) > 2) ? 1 : 0;
