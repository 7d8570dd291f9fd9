/**
 * Runs the checks and the test projects one after the other and ends with the sum: `N passed, N failed`. What a stage
 * leaves on the machine (processes, mounts, namespaces, control groups, temporary files) is a failure, told by name.
 * All failures are named once more at the end, before the sum.
 *
 * A file that fails beside others, or right after them, is run once more by itself: what is green then is told as a FLAKE
 * with its error, which is a bug to be found, and does not fail the run. The seed suite has one try.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
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

interface Failure {
  file: string;
  text: string;
}

const stages = ["check", "unit", "images", "integration", "e2e"] as const;
const only = process.argv[2];
const needsImages = only !== "check" && only !== "unit";
const chosen = stages.filter((stage) => only === undefined || stage === only || (stage === "images" && needsImages));
const cache = join(import.meta.dirname, "..", ".cache");
const reports = join(cache, "reports");
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });

/** When more files than these fail, something is wrong that is no flake. */
const maxFlakes = 6;
let passed = 0;
let failed = 0;
const failures: string[] = [];
const flakes: string[] = [];
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
  else if (stage === "images") await makeImages(temporary);
  else {
    const found: Failure[] = [];
    for (const [index, each] of runsOf(stage).entries())
      found.push(...(await runProject(each, { index: String(index), temporary })));
    const stay = found.length === 0 ? found : await runAgain(stage, found, temporary);
    failed += stay.length;
    failures.push(...stay.map(({ text }) => text));
  }
  const left = [...(await traces.left()), ...readdirSync(temporary).map((name) => `temporary ${name}`)];
  rmSync(temporary, { recursive: true, force: true });
  failed += left.length;
  failures.push(...left.map((each) => `${stage} left behind: ${each}`));
}

const rest = skipped > 0 ? `, ${skipped} skipped` : "";
for (const each of flakes) console.log(`\nFLAKE (green by itself) ${each}`);
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

async function makeImages(temporary: string): Promise<void> {
  const status = await run("node", ["--disable-warning=ExperimentalWarning", "script/make-images.ts"], {
    TMPDIR: temporary,
  });
  if (status === 0) return;
  failed += 1;
  failures.push("the images of the sandboxes");
}

async function runProject(
  { project, files, atOnce }: VitestRun,
  { index, temporary }: { index: string; temporary: string },
): Promise<Failure[]> {
  const file = join(reports, `${project}-${index}.json`);
  const output = ["--reporter=default", "--reporter=json", `--outputFile=${file}`];
  const workers = atOnce === undefined ? {} : { HOLDFAST_TEST_FILES_AT_ONCE: String(atOnce) };
  const args = ["vitest", "run", "--project", project, ...output, ...files];
  const status = await run("npx", args, { TMPDIR: temporary, ...workers });
  const report = JSON.parse(readFileSync(file, "utf8")) as Report;
  passed += report.numPassedTests;
  skipped += report.numPendingTests;
  const found = report.testResults.flatMap(failuresOf);
  // Something outside of all files.
  if (found.length === 0 && status !== 0)
    found.push({ file: project, text: `${project}: vitest ended with ${status}` });
  return found;
}

function failuresOf({ name, status, message, assertionResults }: Report["testResults"][number]): Failure[] {
  const file = relative(process.cwd(), name);
  const tests = assertionResults.filter((one) => one.status === "failed");
  // A file that could not even be loaded has no tests to count, yet it failed; so did one that left something behind.
  if (status === "failed" && tests.length === 0) return [{ file, text: `${file}\n${shortened(message)}` }];
  return tests.map(({ fullName, failureMessages }) => ({
    file,
    text: `${file} > ${fullName}\n${shortened(failureMessages?.join("\n") ?? "")}`,
  }));
}

/** Gives what stays a failure. */
async function runAgain(project: VitestRun["project"], found: Failure[], temporary: string): Promise<Failure[]> {
  const files = [...new Set(found.map(({ file }) => file))];
  const isTried = (file: string) => !file.startsWith("e2e/seed/") && existsSync(file);
  if (files.length > maxFlakes || !files.some(isTried)) return found;
  const left = found.filter(({ file }) => !isTried(file));
  for (const [index, file] of files.filter(isTried).entries()) {
    console.log(`\nOnce more, by itself: ${file}`);
    const before = { passed, skipped };
    const again = await runProject({ project, files: [file] }, { index: `again-${index}`, temporary });
    // Those of it that were green before are counted already.
    const first = found.filter((each) => each.file === file);
    ({ passed, skipped } = before);
    left.push(...again);
    if (again.length > 0) continue;
    passed += first.length;
    flakes.push(...first.map(({ text }) => text));
  }
  return left;
}

/** Enough of an error to know what it is about; the whole stands where it happened. */
function shortened(error: string): string {
  return stripVTControlCharacters(error).slice(0, 600);
}

function partition<T>(all: readonly T[], first: (one: T) => boolean): [T[], T[]] {
  return [all.filter(first), all.filter((one) => !first(one))];
}
