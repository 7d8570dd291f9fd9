/** What one round found; the newest is shown to the administrator. */
export interface SweepReport {
  /** Milliseconds since 1970. */
  atMs: number;
  /** Sandboxes of ours that the provider runs. */
  running: number;
  /** Sandboxes that nobody wanted. */
  ended: { id: string; reason: string }[];
  /** Rows whose sandbox was gone. */
  settled: string[];
  /** Sandboxes that no row knows and that are kept for now. */
  unknown: number;
  /** What could not be done, to be tried again. */
  failures: string[];
}

export function newReport(atMs: number): SweepReport {
  return { atMs, running: 0, ended: [], settled: [], unknown: 0, failures: [] };
}
