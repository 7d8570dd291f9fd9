/**
 * What grows with the number ever made: `node bench/growth.ts [count]` (2 000) as root. Prints what each process held
 * before and after, and ends with 1 when something is more than it was. A tenth of it runs in the suite.
 */
import { type Growth, growEngine, grown } from "../packages/engine/test/conformance/_growth.ts";

const count = Number(process.argv[2] ?? 2_000);
/** Heaps are not handed back at once; this much is nobody's leak. */
const megabytes = 40;

/** Each gives what was held before and after, by what was done in between. */
const parts: (() => Promise<Record<string, Growth>>)[] = [
  () => growEngine(count, (before, now) => grown(before, now, megabytes).length === 0),
];

let more: string[] = [];
for (const part of parts) {
  for (const [name, { before, after }] of Object.entries(await part())) {
    console.log(`\n| ${count} ${name} | before | after |\n| --- | --- | --- |`);
    for (const [what, value] of Object.entries(after)) console.log(`| ${what} | ${before[what] ?? 0} | ${value} |`);
    more = [...more, ...grown(before, after, megabytes)];
  }
}
if (more.length > 0) {
  console.error(`\nThis has grown:\n${more.join("\n")}`);
  process.exitCode = 1;
}
