import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { faultExitCode } from "./guard.ts";

const guardUrl = new URL("./guard.ts", import.meta.url).href;

/** Runs `code` in a process of its own, in which `guard(options)` installs the guard. */
async function run(code: string, { stderr = "pipe" as "pipe" | number } = {}) {
  const source = `
    import { guardProcess } from ${JSON.stringify(guardUrl)};
    const tell = (line) => process.stdout.write(line + "\\n");
    const guard = (more) => guardProcess(process, {
      name: "tried", onCount: (counts) => tell(JSON.stringify(counts)), ...more });
    ${code}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["ignore", "pipe", stderr] });
  const [out, err, exitCode] = await Promise.all([
    text(child.stdout as NodeJS.ReadableStream),
    child.stderr === null ? "" : text(child.stderr),
    new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code))),
  ]);
  return { lines: out.trim().split("\n"), err, exitCode };
}

const rejectTwice = `guard(); void Promise.reject(new Error("first")); void Promise.reject(Object.create(null));
  setTimeout(() => { tell("alive"); process.exit(3); }, 50);`;

test("a rejection that nobody handles is logged and counted, and the process goes on", async () => {
  const { lines, err, exitCode } = await run(rejectTwice);
  expect(lines).toEqual(['{"tried":1}', '{"tried":2}', "alive"]);
  const logged = err
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(logged[0]).toMatchObject({ level: 50, name: "tried", fault: "unhandled_rejection" });
  expect(logged[0].err.message).toBe("first");
  expect(logged[0].err.stack).toContain("Error: first");
  expect(logged).toHaveLength(2);
  expect(exitCode).toBe(3);
});

test("a log on a full disk changes nothing", async () => {
  const { lines, exitCode } = await run(rejectTwice, { stderr: openSync("/dev/full", "w") });
  expect(lines).toEqual(['{"tried":1}', '{"tried":2}', "alive"]);
  expect(exitCode).toBe(3);
});

const hold = "setInterval(() => {}, 1000);";
const thrown = 'setTimeout(() => { throw new Error("thrown"); }, 1);';

test("an exception that nobody caught ends the process: its log is written, its last work done", async () => {
  const { lines, err, exitCode } = await run(
    `guard({ lastly: async () => { await new Promise((done) => setTimeout(done, 20)); tell("last work"); } });${hold}${thrown}`,
  );
  expect(lines).toEqual(["last work"]);
  expect(JSON.parse(err)).toMatchObject({ level: 60, fault: "uncaught_exception", err: { message: "thrown" } });
  expect(exitCode).toBe(faultExitCode);
});

test.each([
  ["hangs", "lastlyMs: 50, lastly: () => new Promise(() => {})"],
  ["rejects", 'lastlyMs: 60000, lastly: () => Promise.reject(new Error("worse"))'],
  ["throws", 'lastlyMs: 60000, lastly: () => { throw new Error("worse"); }'],
  ["throws later", 'lastlyMs: 60000, lastly: () => new Promise(() => setTimeout(() => { throw new Error("worse"); }))'],
])("last work that %s does not keep the process", async (_how, options) => {
  expect((await run(`guard({ ${options} });${hold}${thrown}`)).exitCode).toBe(faultExitCode);
});

test("a process that holds what is others' survives an exception, and counts it", async () => {
  const { lines, err, exitCode } = await run(
    `guard({ uncaught: "go on" });${thrown} setTimeout(() => { tell("alive"); process.exit(3); }, 50);`,
  );
  expect(lines).toEqual(['{"tried":1}', "alive"]);
  expect(JSON.parse(err)).toMatchObject({ fault: "uncaught_exception" });
  expect(exitCode).toBe(3);
});

test("what other processes counted is told with the own", async () => {
  const { lines } = await run("const it = guard(); it.note({ other: 2 }); tell(JSON.stringify(it.counts));");
  expect(lines).toEqual(['{"other":2,"tried":0}', '{"other":2,"tried":0}']);
});
