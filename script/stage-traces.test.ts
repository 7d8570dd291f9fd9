import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const module = fileURLToPath(new URL("stage-traces.ts", import.meta.url));

/** A program that does something, then tells what it left. */
function leftBy(work: string): string[] {
  const program = `
    import { execFileSync } from "node:child_process";
    import { StageTraces } from ${JSON.stringify(module)};
    using traces = new StageTraces(1_000);
    ${work}
    console.log(JSON.stringify(await traces.left()));`;
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript", "-e", program];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as string[];
}

const isRunning = (words: string) => execFileSync("ps", ["ax", "-o", "args"], { encoding: "utf8" }).includes(words);

test("nothing left: nothing said", () => {
  const left = leftBy("execFileSync('true');");
  expect(left.filter((line) => line.startsWith("process"))).toEqual([]);
});

test("a process that was abandoned twice over, in a session of its own, is named and ended", () => {
  const left = leftBy(`execFileSync("sh", ["-c", "(setsid sh -c 'sleep 7654321; true' >/dev/null 2>&1 &) &"]);`);
  expect(left).toContainEqual(expect.stringMatching(/^process \d+ sleep 7654321$/));
  expect(isRunning("sleep 7654321")).toBe(false);
});

test("a network namespace is named", () => {
  const name = `hf-test${process.pid}`;
  // In pieces: a process that names an instance counts as its user.
  const inPieces = `"hf-te" + "st${process.pid}"`;
  try {
    expect(leftBy(`execFileSync("ip", ["netns", "add", ${inPieces}]);`)).toContain(`namespace ${name}`);
  } finally {
    execFileSync("ip", ["netns", "delete", name]);
  }
});
