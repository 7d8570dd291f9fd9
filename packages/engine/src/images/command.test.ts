import { expect, test } from "vitest";
import { CommandError, lineSplitter, runCommand } from "./command.ts";

const signal = () => AbortSignal.timeout(20_000);

test("however a stream is cut, within characters too, its lines are the same", () => {
  const text = "first\n\nümläute 🚀 here\r\n10 %\r20 %\rdone\nlast without an end";
  const bytes = Buffer.from(text);
  const lines = (cuts: number[]) => {
    const seen: string[] = [];
    const split = lineSplitter((line) => seen.push(line));
    let from = 0;
    for (const to of [...cuts, bytes.length]) {
      split.write(bytes.subarray(from, to));
      from = to;
    }
    split.end();
    return seen;
  };
  const whole = ["first", "", "ümläute 🚀 here", "done", "last without an end"];
  expect(lines([])).toEqual(whole);
  for (let one = 0; one <= bytes.length; one++)
    for (let two = one; two <= bytes.length; two += 7) expect(lines([one, two]), `${one}, ${two}`).toEqual(whole);
  expect(lines(Array.from(bytes.keys()))).toEqual(whole);
});

test("a line without end does not pile up", () => {
  const seen: string[] = [];
  const split = lineSplitter((line) => seen.push(line));
  for (let n = 0; n < 100; n++) split.write(Buffer.alloc(10_000, "x"));
  expect(seen.length).toBeGreaterThan(10);
  expect(Math.max(...seen.map((line) => line.length))).toBeLessThan(80_000);
  split.end();
  expect(seen.join("").length).toBe(1_000_000);
});

test("what a command prints comes line by line, from both of its outputs", async () => {
  const seen: string[] = [];
  await runCommand(["sh", "-c", "echo out; echo err >&2; printf tail"], {
    onLine: (line) => seen.push(line),
    signal: signal(),
  });
  expect(seen.toSorted()).toEqual(["err", "out", "tail"]);
});

test("one that fails says how it ended and the last of what it said, no more", async () => {
  const failing = runCommand(["sh", "-c", "seq 100; exit 3"], { signal: signal() });
  await expect(failing).rejects.toBeInstanceOf(CommandError);
  await expect(failing).rejects.toThrow(/^sh failed \(exit 3\):\n81\n(.*\n)*100$/);
  await expect(runCommand(["sh", "-c", "kill -KILL $$"], { signal: signal() })).rejects.toThrow(/exit SIGKILL/);
});

test("one that is not installed is named, with what to do", async () => {
  await expect(runCommand(["no-such-program-here"], { signal: signal() })).rejects.toThrow(
    "no-such-program-here is not installed on this machine; install the Debian package 'no-such-program-here'",
  );
});

test("the signal ends it with everything that it started, and is the reason", async () => {
  const controller = new AbortController();
  const reason = new Error("nobody waits");
  const pids = Promise.withResolvers<number[]>();
  const running = runCommand(["sh", "-c", "sleep 1000 & echo $! $$; wait"], {
    onLine: (line) => pids.resolve(line.split(" ").map(Number)),
    signal: controller.signal,
  });
  running.catch(() => undefined);
  const started = await pids.promise;
  controller.abort(reason);
  await expect(running).rejects.toBe(reason);
  const isGone = (pid: number) => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  };
  await expect.poll(() => started.map(isGone)).toEqual([true, true]);
  await expect(runCommand(["true"], { signal: controller.signal })).rejects.toBe(reason);
});
