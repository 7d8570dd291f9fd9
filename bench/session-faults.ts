import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A fault as somebody could make it: a piece of source, and what stands in its place. */
interface Fault {
  what: string;
  file: string;
  good: string;
  bad: string;
}

const faults: Fault[] = [
  {
    what: "a message is not done with its result",
    file: "domain/turns/line-effects.ts",
    good: 'else await markMessage(tx, turn.id, "done");\n      }\n    },\n    after: () => {\n      running.answered = false;',
    bad: "}\n    },\n    after: () => {\n      running.answered = false;",
  },
  {
    what: "a message that its own steering hit is not said again",
    file: "domain/turns/line-effects.ts",
    good: 'return turn.steers && turn.isUntouched && ended.outcome === "stopped";',
    bad: "return false && ended !== undefined && turn.steers;",
  },
  {
    what: "a message that Claude has answered is said again after a kill",
    file: "domain/turns/line-effects.ts",
    good: "return wasKilled && !running.signalled && !running.ending && !running.answered;",
    bad: "return wasKilled && !running.signalled && !running.ending;",
  },
  {
    what: "a spool is read from its beginning by the next server",
    file: "domain/turns/prepare.ts",
    good: "const offsets = { stdout: row.stdout_offset, stderr: row.stderr_offset };",
    bad: "const offsets = { stdout: 0, stderr: 0 };",
  },
  {
    what: "a server that has lost the session writes on",
    file: "adapters/db/event-log.ts",
    good: 'update = update.where("generation", "<=", input.generation);',
    bad: "update = update;",
  },
  {
    what: "questions of a process that ended stay open",
    file: "domain/turns/line-effects.ts",
    good: "if (turns.length === 0 && !works) return { events: [], more: expire };\n",
    bad: "if (turns.length === 0 && !works) return { events: [] };\n  if (works) return { events: [] };\n",
  },
];

const root = join(import.meta.dirname, "..");
const limitMs = 60_000;

/** Gives how many were not found in time. */
export async function plantFaults(): Promise<number> {
  let missed = 0;
  for (const fault of faults) {
    const copy = mkdtempSync(join(tmpdir(), "session-faults-"));
    try {
      copyTo(copy, fault);
      const began = performance.now();
      const { found, said } = await hunt(copy);
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      if (!found) missed++;
      console.log(`${found ? `found after ${seconds} s` : `NOT found in ${seconds} s`}: ${fault.what}\n    ${said}`);
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  }
  return missed;
}

/** The packages, the fault in them; what others have written is linked to. */
function copyTo(copy: string, { file, good, bad }: Fault): void {
  for (const name of ["packages", "bench", "package.json"])
    cpSync(join(root, name), join(copy, name), {
      recursive: true,
      filter: (path) => !/\/(node_modules|fixtures|dist)$/.test(path),
    });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  const path = join(copy, "packages/server/src", file);
  const source = readFileSync(path, "utf8");
  if (!source.includes(good)) throw new Error(`${file} has changed: the fault cannot be planted any more`);
  writeFileSync(path, source.replace(good, bad));
}

function hunt(copy: string): Promise<{ found: boolean; said: string }> {
  const script = join(copy, "bench/session-property.ts");
  const args = ["--disable-warning=ExperimentalWarning", script, "--runs", "1000000", "--seed", "1", "--as-it-is"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  child.stdout.on("data", (bytes: Buffer) => (out += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (out += bytes.toString()));
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  return new Promise((resolve) =>
    child.once("close", (code) => {
      clearTimeout(timer);
      const [summary = "", what = ""] = out.split("\n");
      resolve({ found: code === 1 && summary.includes("runs with seed"), said: `${summary}: ${what}` });
    }),
  );
}
