import type { StoredResults } from "./results.ts";

export function writeReport(results: readonly StoredResults[]): void {
  console.log(`${results.length} kinds`);
}
