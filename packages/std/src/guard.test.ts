import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { text } from "node:stream/consumers";
import { describe, expect, test, vi } from "vitest";
import { addCounts, type Fault, faultExitCode, type GuardOptions, guardProcess, readCounts } from "./guard.ts";

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

/** A process that can be looked into: what it was told, and that it goes on where a real one would have ended. */
function pretend(options: Partial<GuardOptions> = {}) {
  const listeners = new Map<string, (reason: unknown) => void>();
  const written: string[] = [];
  const exits: number[] = [];
  const host = {
    pid: 42,
    stderr: { write: (line: string) => written.push(line), on: () => undefined },
    on: (event: string, listener: (reason: unknown) => void) => listeners.set(event, listener),
    exit: (code: number) => exits.push(code),
  };
  const guard = guardProcess(host, { name: "tried", ...options });
  const reject = (reason: unknown) => listeners.get("unhandledRejection")?.(reason);
  const raise = (error: unknown) => listeners.get("uncaughtException")?.(error);
  return { guard, written, exits, reject, raise };
}

const failing = () => {
  throw new Error("cannot tell");
};

describe("whatever is thrown", () => {
  const hostile = {
    get message() {
      return failing();
    },
  };
  test.each<[string, unknown, string]>([
    ["an error", new RangeError("too far"), "too far"],
    ["a text", "just a text", "just a text"],
    ["nothing", undefined, "undefined"],
    ["a symbol", Symbol("sign"), "Symbol(sign)"],
    ["an object without a text", Object.create(null), "(what was thrown cannot be shown)"],
    ["an error that throws", Object.setPrototypeOf(hostile, Error.prototype), "(what was thrown cannot be shown)"],
  ])("%s is one line of JSON in the log", (_what, thrown, message) => {
    const { written, reject, guard } = pretend();
    reject(thrown);
    expect(written).toHaveLength(1);
    expect(written[0]).toMatch(/^\{[^\n]*\}\n$/);
    expect(JSON.parse(written[0] ?? "")).toMatchObject({ level: 50, pid: 42, name: "tried", err: { message } });
    expect(guard.counts).toEqual({ tried: 1 });
  });
});

test("neither a log nor a listener that throws keeps the other from hearing, or becomes a fault", () => {
  const log = vi.fn<(fault: Fault) => void>(failing);
  const onCount = vi.fn(failing);
  const { guard, reject } = pretend({ log, onCount });
  reject(new Error("first"));
  guard.note({ other: 1 });
  expect(log.mock.calls.map(([{ kind, error }]) => [kind, error.message])).toEqual([["unhandled_rejection", "first"]]);
  expect(onCount.mock.calls).toEqual([[{ tried: 1 }], [{ tried: 1, other: 1 }]]);
});

test("an exception during the last work ends the process at once, and both are in the log", async () => {
  const lastly = vi.fn(() => new Promise<void>(() => undefined));
  const { raise, exits, written } = pretend({ lastly, lastlyMs: 60_000 });
  vi.useFakeTimers();
  raise(new Error("one"));
  await vi.advanceTimersByTimeAsync(0);
  expect(exits).toEqual([]);
  raise(new Error("two"));
  vi.useRealTimers();
  expect(exits).toEqual([faultExitCode]);
  expect(lastly).toHaveBeenCalledTimes(1);
  expect(written.map((line) => JSON.parse(line).err.message)).toEqual(["one", "two"]);
});

test("without last work an exception ends the process at once, with one whose log fails, too", () => {
  for (const options of [{}, { log: failing }]) {
    const { raise, exits } = pretend(options);
    raise(new Error("thrown"));
    expect(exits).toEqual([faultExitCode]);
  }
});

test("what others counted replaces what was known of them, and never the own count", () => {
  const { guard, reject } = pretend();
  reject("own");
  guard.note({ other: 2, tried: 9 });
  guard.note({ other: 3 });
  guard.note({ third: 1 });
  expect(guard.counts).toEqual({ tried: 1, other: 3, third: 1 });
});

test("counts add up by name", () => {
  expect(addCounts()).toEqual({});
  expect(addCounts({ a: 1, b: 2 }, {}, { b: 3 }, { a: 1, c: 0 })).toEqual({ a: 2, b: 5, c: 0 });
});

test("counts are read from their own line", () => {
  const counts = { server: 1, keeper: 0 };
  expect(readCounts(JSON.stringify({ unhandledRejections: counts }))).toEqual(counts);
  expect(readCounts('{"unhandledRejections":{}}')).toEqual({});
});

test.each([
  "",
  "listening",
  '{"url":"http://localhost"}',
  ' {"unhandledRejections":{"server":1}}',
  '{"unhandledRejections":{"server":1',
  '{"unhandledRejections":{"server":1}} and more',
  '{"unhandledRejections":null}',
  '{"unhandledRejections":3}',
  '{"unhandledRejections":[1]}',
  '{"unhandledRejections":"server"}',
  '{"unhandledRejections":{"server":"1"}}',
  '{"unhandledRejections":{"server":null}}',
])("%j is no line of counts", (line) => {
  expect(readCounts(line)).toBeUndefined();
});
