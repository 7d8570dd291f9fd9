/** Runs the checks and the test projects one after the other and ends with the sum: `N passed, N failed`. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  testResults: { status: string; assertionResults: unknown[] }[];
}

const stages = ["check", "unit", "integration", "e2e"] as const;
const only = process.argv[2];
const chosen = stages.filter((stage) => only === undefined || stage === only);
const reports = join(import.meta.dirname, "..", ".cache", "reports");
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });

let passed = 0;
let failed = 0;
let skipped = 0;

for (const stage of chosen) {
  console.log(`\n── ${stage} ──`);
  if (stage === "check") runCheck();
  else runProject(stage);
}

const rest = skipped > 0 ? `, ${skipped} skipped` : "";
console.log(`\n${passed} passed, ${failed} failed${rest}`);
process.exitCode = failed > 0 ? 1 : 0;

function runCheck(): void {
  const { status } = spawnSync("npm", ["run", "--silent", "check"], { stdio: "inherit" });
  if (status === 0) passed += 1;
  else failed += 1;
}

function runProject(project: string): void {
  const file = join(reports, `${project}.json`);
  const args = ["vitest", "run", "--project", project, "--reporter=default", "--reporter=json", `--outputFile=${file}`];
  const { status } = spawnSync("npx", args, { stdio: "inherit" });
  const report = JSON.parse(readFileSync(file, "utf8")) as Report;
  passed += report.numPassedTests;
  skipped += report.numPendingTests;
  // A file that could not even be loaded has no tests to count, yet it failed.
  const broken = report.testResults.filter((each) => each.status === "failed" && each.assertionResults.length === 0);
  const counted = report.numFailedTests + broken.length;
  failed += counted === 0 && status !== 0 ? 1 : counted;
}
