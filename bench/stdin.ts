/**
 * What input that is written at once costs: how long until `cat` has it, and how long somebody else's question to the
 * same keeper waits meanwhile. Run as root: `node bench/stdin.ts [rounds]`, in two checkouts in turn to compare them.
 */
import { loadavg } from "node:os";
import { Machine } from "../packages/engine/test/runtime/_machine.ts";

const rounds = Number(process.argv[2] ?? 3);
const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

await using machine = await Machine.start();
const [writer, other] = [await machine.create(), await machine.create()];

/** Longest answer to a question about the other sandbox, asked again and again until `over`. */
async function longestAnswer(over: Promise<unknown>): Promise<number> {
  let running = true;
  const stop = () => {
    running = false;
  };
  over.then(stop, stop);
  let longest = 0;
  while (running) {
    const asked = performance.now();
    await machine.runtime.state(other);
    longest = Math.max(longest, performance.now() - asked);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return longest;
}

const control = await longestAnswer(new Promise((resolve) => setTimeout(resolve, 1_000)));
console.log(
  `| written at once | until the program has all (ms) | longest answer to another (ms) |\n| --- | --- | --- |`,
);
console.log(`| nothing, for 1 s (control) | | ${control.toFixed(0)} |`);
for (const megabytes of [1, 16, 64]) {
  const took: number[] = [];
  const waited: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const execId = await machine.start(writer, "cat >/dev/null");
    const begun = performance.now();
    const target = { sandboxId: writer, execId, offset: 0, eof: true };
    const ended = machine.runtime
      .writeStdin(target, new Uint8Array(megabytes * 1_000_000))
      .then(() => machine.runtime.waitExec(writer, execId, { signal: AbortSignal.timeout(60_000) }));
    waited.push(await longestAnswer(ended));
    await ended;
    took.push(performance.now() - begun);
  }
  console.log(`| ${megabytes} MB | ${median(took).toFixed(0)} | ${median(waited).toFixed(0)} |`);
}
console.log(`\nmedian of ${rounds}, load ${loadavg()[0]?.toFixed(1)}`);
