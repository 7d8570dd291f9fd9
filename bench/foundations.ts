/**
 * The figures that the first release names: how long a start takes to a page that answers, a turn in a new and in a
 * living sandbox, and what the guest costs. Run as root: `node bench/foundations.ts`. Prints a table; the machine's load
 * is part of it, so compare ratios.
 */
import { loadavg } from "node:os";
import { createTestKit, type TestKit } from "@holdfast/testkit";

const rounds = Number(process.argv[2] ?? 5);

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  return [await work(), performance.now() - start];
}

/** Resident memory of the guest's daemon, as the sandbox sees it. */
async function guestRssMb(kit: TestKit): Promise<number> {
  const { stdout } = await kit.exec([
    "sh",
    "-c",
    "for p in $(pgrep -f 'guest.mjs daemon'); do grep VmRSS /proc/$p/status; done",
  ]);
  return Math.max(...[...stdout.matchAll(/(\d+) kB/g)].map((match) => Number(match[1]) / 1024));
}

const figures: Record<string, number[]> = {};
const note = (name: string, value: number) => {
  figures[name] ??= [];
  figures[name].push(value);
};

for (let round = 0; round < rounds; round++) {
  const [kit, startMs] = await timed(() => createTestKit());
  note("start of all services, image cached (ms)", startMs);
  const [answer, pageMs] = await timed(() => fetch(kit.url));
  await answer.body?.cancel();
  note("then: first answer of the page (ms)", pageMs);
  const [first, coldMs] = await timed(() => kit.turn("run `true`"));
  note("first turn: new sandbox, permission step, Claude's start (ms)", coldMs);
  const [, warmMs] = await timed(() => kit.turn("run `true`", { sessionId: first.sessionId }));
  note("second turn: living process (ms)", warmMs);
  const alone = await guestRssMb(kit);
  note("guest, one session (MB)", alone);
  const more = 5;
  for (let i = 0; i < more; i++) await kit.turn("run `true`");
  note("guest, each further session (MB)", ((await guestRssMb(kit)) - alone) / more);
  const [, stopMs] = await timed(async () => kit[Symbol.asyncDispose]());
  note("Ctrl-C to nothing left (ms)", stopMs);
}

console.log(
  `| figure (median of ${rounds}, load ${loadavg()[0]?.toFixed(1)}) | median | min | max |\n| --- | --- | --- | --- |`,
);
for (const [name, values] of Object.entries(figures)) {
  const cells = [median(values), Math.min(...values), Math.max(...values)].map((value) =>
    value.toFixed(value < 10 ? 1 : 0),
  );
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
