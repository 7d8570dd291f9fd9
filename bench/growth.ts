/**
 * What grows with the number ever made, as root: `node bench/growth.ts [--only engine|messages] [COUNT] [MESSAGES]`. COUNT
 * (2 000) sandboxes on one keeper and execs in one sandbox, MESSAGES (10 000) through the whole system with the scripted
 * model. Prints what each process held before and after, and ends with 1 when something is more than it was. A tenth of
 * it runs in the suite.
 */
import { parseArgs } from "node:util";
import { type Growth, grown } from "@holdfast/testkit/holdings";
import { growEngine } from "../packages/engine/test/conformance/_growth.ts";
import { growMessages } from "./growth/messages.ts";

const { values, positionals } = parseArgs({ options: { only: { type: "string" } }, allowPositionals: true });
const [count = 2_000, messages = 10_000] = positionals.map(Number);
/** Heaps are not handed back at once; this much is nobody's leak. */
const megabytes = 40;

let more: string[] = [];
function report(title: string, growth: Growth): void {
  console.log(`\n| ${title} | before | after |\n| --- | --- | --- |`);
  for (const [what, value] of Object.entries(growth.after)) {
    console.log(`| ${what} | ${growth.before[what] ?? 0} | ${value} |`);
  }
  more = [...more, ...grown(growth, megabytes)];
}

if (values.only !== "messages") {
  for (const [name, growth] of Object.entries(await growEngine(count, megabytes))) report(`${count} ${name}`, growth);
}
if (values.only !== "engine") {
  const say = (text: string) => console.error(`-> ${text}`);
  const { growth, during, perSecond } = await growMessages(messages, { megabytes, say });
  report(`${messages} messages`, growth);
  console.log(`\n${perSecond.toFixed(1)} messages/s. Resident MB after each quarter:`);
  for (const name of Object.keys(growth.after).filter((each) => each.endsWith("MB")))
    console.log(`- ${name.split(":")[0]}: ${during.map((now) => now[name]).join(", ")}`);
}
if (more.length > 0) {
  console.error(`\nThis has grown:\n${more.join("\n")}`);
  process.exitCode = 1;
}
