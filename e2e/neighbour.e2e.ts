import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createTestKit, type LoopWatch, type TestKit, watchLoop } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { attacks } from "../bench/neighbour/attacks.ts";
import { Phase } from "../bench/neighbour/phase.ts";
import { Witness } from "../bench/neighbour/witness.ts";

/**
 * The short form of `bench/neighbour.ts`: what account A does, B does not notice. How long B waits is the machine's
 * noise as much as A's doing, so that what is asserted is what A may take: of the server's event loop, of the disk, of
 * its own sandbox after its end; and that nothing of B's fails.
 */
const mib = 2 ** 20;
const outputBytes = 8 * mib;
let kit: TestKit;
let witness: Witness;
let server: LoopWatch;
beforeAll(async () => {
  kit = await createTestKit({
    adjust: (name, options) =>
      name === "engine" ? { ...options, output: { sandboxBytes: outputBytes, accountBytes: outputBytes } } : options,
  });
  witness = await Witness.start(kit);
  server = await watchLoop(kit.system.services.server.pid ?? 0);
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const named = (...starts: string[]) =>
  attacks.map(({ name }) => name).filter((name) => starts.some((start) => name.startsWith(start)));

/** What the processes of all sandboxes printed, on disk. */
function spooledBytes(): number {
  const dir = join(kit.dataDir, "engine", "runtime", "sandboxes");
  const sizes = execFileSync("find", [dir, "-name", "std*", "-type", "f", "-printf", "%b\n"], { encoding: "utf8" });
  return sizes.split("\n").reduce((sum, blocks) => sum + Number(blocks) * 512, 0);
}

/** Counted from outside: in a sandbox that is full of them nothing could count. */
function processesIn(sandboxId: string): number {
  const found = execFileSync("find", ["/sys/fs/cgroup", "-maxdepth", "4", "-name", sandboxId], { encoding: "utf8" });
  const [dir = ""] = found.split("\n");
  return readFileSync(join(dir, "cgroup.procs"), "utf8").split("\n").length - 1;
}

const work = (forMs: number) => witness.work(AbortSignal.timeout(forMs));

test("wide, deep and long requests, floods of output, unread streams, kernel counters and many execs", async () => {
  const alone = await work(2_000);
  const aloneMs = await server.longestMs();
  const phase = await Phase.begin(kit, "A1", named("output", "requests", "messages", "kernel", "streams", "execs"));
  // On a busy machine A, too, takes its time: until it has done what it is there for.
  const answers = [/POST \/v1\/sessions: 400/, /POST \/v1\/login: 413/, /stream\?after=0: 200/, /\/exec: 200/];
  const heard = () => answers.every((answer) => [...phase.told.keys()].some((told) => answer.test(told)));
  const samples = await work(5_000);
  for (const until = performance.now() + 60_000; !heard() && performance.now() < until; )
    samples.merge(await work(2_000));
  const attackedMs = await server.longestMs();
  const spooled = spooledBytes();
  await phase.stop();

  expect([...alone.failures, ...samples.failures]).toEqual([]);
  for (const kind of ["turn", "first event", "health", "list"] as const)
    expect(samples.times[kind].length).toBeGreaterThan(0);
  // One event of 3 MB, read, parsed and printed, is the longest piece; without bounds it is seconds.
  expect(attackedMs).toBeLessThan(Math.max(250, 3 * aloneMs));
  // The other accounts' and what is just being written come on top.
  expect(spooled).toBeLessThan(2 * outputBytes);
  expect(heard(), [...phase.told.keys()].join("\n")).toBe(true);
});

test("forks without end that nobody waits for any more are over, and B went on", async () => {
  const phase = await Phase.begin(kit, "A2", named("processes: forks"));
  const { sandboxId } = await kit.sandbox(phase.account);
  await expect.poll(() => processesIn(sandboxId), { timeout: 30_000 }).toBeGreaterThan(500);
  const samples = await work(3_000);
  await phase.stop();
  await expect.poll(() => processesIn(sandboxId), { timeout: 90_000, interval: 500 }).toBeLessThan(40);
  expect(samples.failures).toEqual([]);
}, 240_000);
