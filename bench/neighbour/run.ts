import { sleep } from "@holdfast/std";
import type { TestKit } from "@holdfast/testkit";
import { attacks } from "./attacks.ts";
import { Phase } from "./phase.ts";
import { kinds, type SampleKind, Samples } from "./samples.ts";
import { Witness } from "./witness.ts";

/** One attack, or all together, and what B noticed of it. */
export interface Stretch {
  name: string;
  samples: Samples;
  /** B's times right before, without A. */
  alone: Samples;
  /** What A was answered, and how often. */
  told: string[];
}

export interface NeighbourOptions {
  /** How long each attack goes on, and how long B is watched alone before it. */
  stretchMs: number;
  /** How often all of it. Default 1. */
  rounds?: number;
  say?: (text: string) => void;
  /** Names of attacks. Default: all of them. */
  chosen?: readonly string[];
}

export const together = "all of it together";

/**
 * Account A does everything that an account can do to the others, one after the other and then together; account B
 * works on. Quiet and attacked stretches alternate, so that both see the same machine, and each attack is over
 * before B is watched alone again.
 */
export async function runNeighbours(kit: TestKit, options: NeighbourOptions): Promise<Stretch[]> {
  const { stretchMs, rounds = 1, say = () => undefined, chosen = attacks.map(({ name }) => name) } = options;
  const witness = await Witness.start(kit);
  const phases = chosen.map((name) => ({ name, names: [name] }));
  if (chosen.length > 1) phases.push({ name: together, names: [...chosen] });
  const stretches = phases.map(({ name }) => ({ name, samples: new Samples(), alone: new Samples(), told: [] }));
  for (let round = 0; round < rounds; round++) {
    for (const [index, { name, names }] of phases.entries()) {
      const stretch = stretches[index] as Stretch;
      stretch.alone.merge(await witness.work(AbortSignal.timeout(stretchMs)));
      say(`${round + 1}: ${name}`);
      const phase = await Phase.begin(kit, `A${round}-${index}`, names);
      // It has begun when B is watched.
      await sleep(Math.min(1_000, stretchMs / 4));
      stretch.samples.merge(await witness.work(AbortSignal.timeout(stretchMs)));
      await phase.stop();
      stretch.told.push(...[...phase.told].map(([what, times]) => `${times} × ${what}`));
      await phase.delete();
    }
  }
  return stretches;
}

export function merged(all: readonly Samples[]): Samples {
  const sum = new Samples();
  for (const each of all) sum.merge(each);
  return sum;
}

/** A table for docs/benchmarks.md: B's median and p99, and how many times those without A they are. */
export function table(stretches: readonly Stretch[]): string {
  const alone = merged(stretches.map((stretch) => stretch.alone));
  const attacked = merged(stretches.map(({ samples }) => samples));
  const row = (name: string, samples: Samples) =>
    `| ${name} | ${kinds.map((kind) => cell(samples, alone, kind)).join(" | ")} | ${samples.failures.length} |`;
  return [
    `| A does | ${kinds.map((kind) => `B's ${kind}`).join(" | ")} | failures |`,
    `| --- | ${kinds.map(() => "---").join(" | ")} | --- |`,
    row("nothing", alone),
    ...stretches.map(({ name, samples }) => row(name, samples)),
    row("any of it", attacked),
  ].join("\n");
}

/** How many times as long B's percentile is. */
export function ratio(samples: Samples, alone: Samples, kind: SampleKind, percent = 99): number {
  return samples.percentile(kind, percent) / alone.percentile(kind, percent);
}

/** p50 / p99 ms (count), both as multiples; of fewer than a hundred samples p99 is the longest of all. */
function cell(samples: Samples, alone: Samples, kind: SampleKind): string {
  const times = [50, 99].map((percent) => samples.percentile(kind, percent).toFixed(0)).join(" / ");
  if (samples === alone) return `${times} (${samples.times[kind].length})`;
  const ratios = [50, 99].map((percent) => ratio(samples, alone, kind, percent).toFixed(1)).join(" / ");
  return `${times} (${samples.times[kind].length}), ${ratios}`;
}
