/** What B does over and over, and how long each takes, in milliseconds. */
export const kinds = ["turn", "first event", "save", "health", "list"] as const;
export type SampleKind = (typeof kinds)[number];

/** Times of one stretch, and what failed in it. */
export class Samples {
  readonly times: Record<SampleKind, number[]> = { turn: [], "first event": [], save: [], health: [], list: [] };
  readonly failures: string[] = [];

  add(kind: SampleKind, ms: number): void {
    this.times[kind].push(ms);
  }

  fail(what: string): void {
    this.failures.push(what);
  }

  merge(other: Samples): void {
    for (const kind of kinds) this.times[kind].push(...other.times[kind]);
    this.failures.push(...other.failures);
  }

  /** The value that so many hundredths of the samples do not exceed; NaN without any. */
  percentile(kind: SampleKind, percent: number): number {
    const sorted = this.times[kind].toSorted((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
  }
}
