import { sleep } from "@holdfast/std";
import type { TestKit } from "@holdfast/testkit";
import { Attacker } from "./attacker.ts";
import { type Attack, attacks } from "./attacks.ts";
import { kinds, type SampleKind, Samples } from "./samples.ts";
import { Witness } from "./witness.ts";

/** One attack, or all together, and what B noticed of it. */
export interface Stretch {
  name: string;
  samples: Samples;
  /** What A was answered, and how often. */
  told: string[];
}

export interface NeighbourResult {
  /** B's times while A did nothing: before, between and after. */
  alone: Samples;
  stretches: Stretch[];
}

export interface NeighbourOptions {
  /** How long each attack goes on, and how long B is watched alone before it. */
  stretchMs: number;
  say?: (text: string) => void;
  /** Default: all of them. */
  chosen?: readonly Attack[];
}

/**
 * Account A does everything that an account can do to the others, one after the other and then together; account B
 * works on. Quiet and attacked stretches alternate, so that both see the same machine.
 */
export async function runNeighbours(kit: TestKit, options: NeighbourOptions): Promise<NeighbourResult> {
  const { stretchMs, say = () => undefined, chosen = attacks } = options;
  const witness = await Witness.start(kit);
  const attacker = await Attacker.start(kit);
  const alone = new Samples();
  const stretches: Stretch[] = [];
  const together: Attack = {
    name: "all of it together",
    run: (a, signal) => Promise.all(chosen.map(({ run }) => run(a, signal))).then(() => undefined),
  };
  for (const attack of [...chosen, together]) {
    alone.merge(await witness.work(AbortSignal.timeout(stretchMs)));
    say(attack.name);
    attacker.told.clear();
    const stop = new AbortController();
    const attacking = attack.run(attacker, stop.signal);
    // It has begun when B is watched.
    await sleep(Math.min(500, stretchMs / 4));
    const samples = await witness.work(AbortSignal.timeout(stretchMs));
    stop.abort();
    await attacking;
    const told = [...attacker.told].map(([what, times]) => `${times} × ${what}`);
    stretches.push({ name: attack.name, samples, told });
  }
  alone.merge(await witness.work(AbortSignal.timeout(stretchMs)));
  return { alone, stretches };
}

/** All that B noticed while A was at work. */
export function attacked({ stretches }: NeighbourResult): Samples {
  const all = new Samples();
  for (const { samples } of stretches) all.merge(samples);
  return all;
}

/** A table for docs/benchmarks.md: B's p99 and how many times that without A it is. */
export function table({ alone, stretches }: NeighbourResult): string {
  const lines = [
    `| A does | ${kinds.map((kind) => `B's ${kind}`).join(" | ")} | failures |`,
    `| --- | ${kinds.map(() => "---").join(" | ")} | --- |`,
    `| nothing | ${kinds.map((kind) => cell(alone, kind)).join(" | ")} | ${alone.failures.length} |`,
  ];
  for (const { name, samples } of stretches) {
    const cells = kinds.map((kind) => `${cell(samples, kind)}, ${ratio(samples, alone, kind).toFixed(1)}`);
    lines.push(`| ${name} | ${cells.join(" | ")} | ${samples.failures.length} |`);
  }
  return lines.join("\n");
}

/** How many times as long B's p99 is. */
export function ratio(samples: Samples, alone: Samples, kind: SampleKind): number {
  return samples.percentile(kind, 99) / alone.percentile(kind, 99);
}

const cell = (samples: Samples, kind: SampleKind) =>
  `${samples.percentile(kind, 50).toFixed(0)} / ${samples.percentile(kind, 99).toFixed(0)} (${samples.times[kind].length})`;
