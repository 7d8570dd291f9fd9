/**
 * Kills and cuts everything at random points of long turns, and compares what is left with what was said. Run as root:
 * `npm run torture -- [--only KIND] [--rounds N] [--round N,M] [--seed S] [--minutes N] [--report]`.
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { kinds } from "./kinds/index.ts";
import { writeReport } from "./report.ts";
import { loadResults, saveEvidence, saveResults } from "./results.ts";
import type { RoundResult } from "./round.ts";
import { runKind } from "./run-kind.ts";
import { table } from "./table.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string" },
    round: { type: "string" },
    seed: { type: "string", default: "holdfast" },
    minutes: { type: "string", default: "70" },
    report: { type: "boolean", default: false },
  },
});

const wanted = values.only?.split(",");
const chosen = kinds.filter(({ name }) => wanted?.includes(name) ?? true);
if (chosen.length === 0 || (wanted !== undefined && chosen.length < wanted.length)) {
  console.error(`--only takes ${kinds.map(({ name }) => name).join(", ")}`);
  process.exit(64);
}
const signal = AbortSignal.timeout(Number(values.minutes) * 60_000);
let failed = 0;

for (const kind of values.report && wanted === undefined ? [] : chosen) {
  const count = Number(values.rounds ?? kind.rounds);
  const rounds = values.round?.split(",").map(Number) ?? Array.from({ length: count }, (_, index) => index + 1);
  if (kind.ownNetwork === true && process.env.HOLDFAST_TORTURE_NETWORK !== "own") {
    if (inOwnNetwork(kind.name) !== 0) failed++;
    continue;
  }
  console.log(`\n${kind.name}: ${kind.what}`);
  const startedMs = Date.now();
  const results: RoundResult[] = [];
  const save = () => {
    saveResults({ kind, seed: values.seed, results, startedMs, isPart: values.round !== undefined });
  };
  await runKind({
    kind,
    seed: values.seed,
    rounds,
    signal,
    onRound: (result) => {
      results.push(result);
      save();
      const { round, detail, outcomes, recoveryMs, failures, unread, turnMs, roundMs } = result;
      const mark = failures.length === 0 ? "ok" : "FAILED";
      const apart = unread === 0 ? "" : `, ${unread} unread`;
      console.log(
        `  ${round}/${count} ${mark} ${detail}; ${outcomes.join(", ")}; silent for ${recoveryMs} ms${apart}; ${turnMs} of ${roundMs} ms`,
      );
      console.log(
        `      talked meanwhile: ${Object.entries(result.talked)
          .map(([what, count]) => `${count} × ${what}`)
          .join(", ")}`,
      );
      for (const failure of failures) console.log(`      ${failure}`);
      if (failures.length === 0) return;
      failed++;
      console.log(`      evidence: ${saveEvidence(kind.name, values.seed, result)}`);
      console.log(`      again: npm run torture -- --only ${kind.name} --seed ${values.seed} --round ${round}`);
    },
  });
  console.log(table([{ name: kind.name, results }]));
}

/** The same command for one kind, in a network namespace that has nothing but loopback. */
function inOwnNetwork(only: string): number {
  const { round, rounds, seed, minutes } = values;
  const given = { only, round, rounds, seed, minutes };
  const args = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]));
  const command = 'ip link set lo up && exec "$@"';
  const self = [process.execPath, ...process.execArgv, import.meta.filename, ...args];
  const env = { ...process.env, HOLDFAST_TORTURE_NETWORK: "own" };
  return spawnSync("unshare", ["--net", "sh", "-c", command, "sh", ...self], { stdio: "inherit", env }).status ?? 1;
}

if (values.report) writeReport(loadResults(kinds));
process.exit(failed === 0 ? 0 : 1);
