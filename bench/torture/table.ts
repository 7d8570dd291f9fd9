import type { RoundResult } from "./round.ts";

export interface Row {
  name: string;
  results: readonly Omit<RoundResult, "evidence">[];
}

const columns = [
  "kind",
  "rounds",
  "kills",
  "turns",
  "events",
  "lost",
  "doubled",
  "out of order",
  "unread (apart)",
  "unsaid (apart)",
  "forgotten (apart)",
  "orphans",
  "left running",
  "failed rounds",
  "recovery median / worst (s)",
] as const;

/** As Markdown; what has the same name stands in one row. */
export function table(parts: readonly Row[]): string {
  const rows = [...Map.groupBy(parts, ({ name }) => name)].map(
    ([name, same]): Row => ({ name, results: same.flatMap(({ results }) => results) }),
  );
  const lines = [
    columns.join(" | "),
    columns.map(() => "---").join(" | "),
    ...rows.map((row) => cells(row).join(" | ")),
  ];
  return lines.map((line) => `| ${line} |`).join("\n");
}

function cells({ name, results }: Row): string[] {
  const sum = (of: (result: Row["results"][number]) => number) =>
    String(results.reduce((total, each) => total + of(each), 0));
  const recoveries = results.map(({ recoveryMs }) => recoveryMs).toSorted((a, b) => a - b);
  const median = recoveries[Math.floor(recoveries.length / 2)] ?? 0;
  return [
    name,
    String(results.length),
    sum(({ kills }) => kills),
    sum(({ turns }) => turns),
    sum(({ events }) => events),
    sum(({ lost }) => lost),
    sum(({ doubled }) => doubled),
    sum(({ disordered }) => disordered),
    sum(({ unread }) => unread),
    sum(({ unsaid }) => unsaid),
    sum(({ forgotten }) => forgotten ?? 0),
    sum(({ orphans }) => orphans),
    sum(({ leftRunning }) => leftRunning),
    String(results.filter(({ failures }) => failures.length > 0).length),
    `${(median / 1000).toFixed(1)} / ${((recoveries.at(-1) ?? 0) / 1000).toFixed(1)}`,
  ];
}
