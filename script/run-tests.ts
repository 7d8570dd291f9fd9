/**
 * Runs the checks and the test projects one after the other and ends with the sum: `N passed, N failed`. What a stage
 * leaves on the machine (processes, mounts, namespaces, control groups, temporary files) is a failure, told by name.
 * All failures are named once more at the end, before the sum.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { StageTraces } from "./stage-traces.ts";

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages?: string[] }[];
  }[];
}

const stages = ["check", "unit", "integration", "e2e"] as const;
const only = process.argv[2];
const chosen = stages.filter((stage) => only === undefined || stage === only);
const cache = join(import.meta.dirname, "..", ".cache");
const reports = join(cache, "reports");
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });

let passed = 0;
let failed = 0;
const failures: string[] = [];
let skipped = 0;

using traces = new StageTraces();

interface VitestRun {
  project: string;
  /** Parts of paths; none: all files of the project. */
  files: string[];
  /** How many files run at once; absent: what the project says. */
  atOnce?: number;
}

/**
 * What looks at the whole machine (namespaces, uids, control groups, free memory) or compares times runs by itself. All
 * else keeps to its own directories and ports and waits much of its time: two files at once keep two cores busy.
 */
const alone = [
  /^packages\/engine\//,
  /^packages\/gateway\/test\/hostile\.test\.ts$/,
  // A debugger of Node's has one port on the machine.
  /^packages\/guest\/test\/faults\.test\.ts$/,
  /^packages\/server\/test\/(hostile|ingest|multi-stream|on-postgres|postgres-faults|raw|statements)\.test\.ts$/,
  /^e2e\/(faults|interrupt|neighbour|start-stop|two-servers)\.e2e\.ts$/,
];

const filesOf = { integration: "packages/*/test/**/*.test.ts", e2e: "e2e/**/*.e2e.ts" };

function runsOf(stage: "unit" | "integration" | "e2e"): VitestRun[] {
  if (stage === "unit") return [{ project: stage, files: [] }];
  const [few, many] = partition(globSync(filesOf[stage]).sort(), (file) => alone.some((one) => one.test(file)));
  return [
    { project: stage, files: many, atOnce: 2 },
    { project: stage, files: few },
  ];
}

for (const stage of chosen) {
  console.log(`\n── ${stage} ──`);
  const temporary = mkdtempSync(join(tmpdir(), "hf-"));
  chmodSync(temporary, 0o1777);
  if (stage === "check") await runCheck(temporary);
  else for (const [index, each] of runsOf(stage).entries()) await runProject(each, { index, temporary });
  const left = [...(await traces.left()), ...readdirSync(temporary).map((name) => `temporary ${name}`)];
  rmSync(temporary, { recursive: true, force: true });
  failed += left.length;
  failures.push(...left.map((each) => `${stage} left behind: ${each}`));
}

const rest = skipped > 0 ? `, ${skipped} skipped` : "";
for (const each of failures) console.log(`\nFAILED ${each}`);
console.log(`\n${passed} passed, ${failed} failed${rest}`);
process.exitCode = failed > 0 ? 1 : 0;

async function run(program: string, args: string[], env: Record<string, string>): Promise<number | null> {
  // Some tools let Node keep compiled code in the directory of temporary files: it belongs to the caches.
  const compiled = { NODE_COMPILE_CACHE: join(cache, "compiled") };
  const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...compiled, ...env } });
  traces.started(child.pid);
  const [status] = (await once(child, "exit")) as [number | null];
  return status;
}

async function runCheck(temporary: string): Promise<void> {
  if ((await run("npm", ["run", "--silent", "check"], { TMPDIR: temporary })) === 0) passed += 1;
  else {
    failed += 1;
    failures.push("check");
  }
}

async function runProject(
  { project, files, atOnce }: VitestRun,
  { index, temporary }: { index: number; temporary: string },
): Promise<void> {
  const file = join(reports, `${project}-${index}.json`);
  const output = ["--reporter=default", "--reporter=json", `--outputFile=${file}`];
  const workers = atOnce === undefined ? {} : { HOLDFAST_TEST_FILES_AT_ONCE: String(atOnce) };
  const args = ["vitest", "run", "--project", project, ...output, ...files];
  const status = await run("npx", args, { TMPDIR: temporary, ...workers });
  const report = JSON.parse(readFileSync(file, "utf8")) as Report;
  passed += report.numPassedTests;
  skipped += report.numPendingTests;
  // A file that could not even be loaded has no tests to count, yet it failed; so did one that left something behind.
  const broken = report.testResults.filter(
    (each) => each.status === "failed" && !each.assertionResults.some(({ status: one }) => one === "failed"),
  );
  const counted = report.numFailedTests + broken.length;
  failed += counted === 0 && status !== 0 ? 1 : counted;
  if (counted === 0 && status !== 0) failures.push(`${project}: vitest ended with ${status}`);
  for (const { name, message, assertionResults } of report.testResults) {
    const file = relative(process.cwd(), name);
    for (const one of assertionResults.filter((each) => each.status === "failed"))
      failures.push(`${file} > ${one.fullName}\n${shortened(one.failureMessages?.join("\n") ?? "")}`);
    if (broken.some((each) => each.name === name)) failures.push(`${file}\n${shortened(message)}`);
  }
}

/** Enough of an error to know what it is about; the whole stands where it happened. */
function shortened(error: string): string {
  return stripVTControlCharacters(error).slice(0, 600);
}

function partition<T>(all: readonly T[], first: (one: T) => boolean): [T[], T[]] {
  return [all.filter(first), all.filter((one) => !first(one))];
}
