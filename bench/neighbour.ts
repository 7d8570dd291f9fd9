/**
 * What account B notices of account A, which does everything that one account can do to the others (fills the disk,
 * prints without end, sends requests of every bad shape, takes the kernel's counters, forks, eats memory, opens
 * sandboxes and streams), one after the other and together. B works on: turns, streams, saves, /health, a list.
 * Run as root: `node bench/neighbour.ts [seconds for each] [rounds] [part of an attack's name]`.
 * Prints medians, p99 and both as multiples of those of B alone, measured in between.
 */
import { loadavg } from "node:os";
import { createTestKit } from "@holdfast/testkit";
import { attacks } from "./neighbour/attacks.ts";
import { merged, ratio, runNeighbours, table } from "./neighbour/run.ts";
import { kinds } from "./neighbour/samples.ts";

const [seconds = "10", rounds = "3", part = ""] = process.argv.slice(2);
await using kit = await createTestKit();
const stretches = await runNeighbours(kit, {
  stretchMs: Number(seconds) * 1000,
  rounds: Number(rounds),
  chosen: attacks.map(({ name }) => name).filter((name) => name.includes(part)),
  say: (text) => console.error(`-> ${text}`),
});
console.log(`${rounds} × ${seconds} s each, load ${loadavg()[0]?.toFixed(1)}; median / p99 ms (samples), ratios\n`);
console.log(table(stretches));
for (const { name, samples, alone, told } of stretches) {
  for (const line of told) console.log(`${name}: A: ${line}`);
  for (const failure of samples.failures) console.log(`${name}: B FAILED: ${failure}`);
  for (const failure of alone.failures) console.log(`before ${name}: B FAILED: ${failure}`);
}
const alone = merged(stretches.map((stretch) => stretch.alone));
const attacked = merged(stretches.map(({ samples }) => samples));
const failures = attacked.failures.length + alone.failures.length;
process.exitCode = failures > 0 || kinds.some((kind) => ratio(attacked, alone, kind) > 2) ? 1 : 0;
