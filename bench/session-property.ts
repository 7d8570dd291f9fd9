/**
 * Lives of a session at random, as many as wanted: node bench/session-property.ts [--runs 100000] [--seed N] [--path P]
 * A failure is made as short as it can be (`--as-it-is`: not); `--seed` and `--path` play that one again and tell what went on. `--faults`: plants known faults in a
 * copy of the server's sources, one after the other, and says how soon each is found.
 */
import { parseArgs } from "node:util";
import { checkProperty, explain } from "../packages/server/test/machine/_property.ts";
import { plantFaults } from "./session-faults.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "10000" },
    seed: { type: "string" },
    path: { type: "string" },
    "as-it-is": { type: "boolean", default: false },
    faults: { type: "boolean", default: false },
  },
});

if (values.faults) process.exit(await plantFaults());
const began = process.hrtime.bigint();
const report = await checkProperty({
  runs: Number(values.runs),
  ...(values.seed === undefined ? {} : { seed: Number(values.seed) }),
  shrinks: !values["as-it-is"],
  ...(values.path === undefined ? {} : { path: values.path }),
});
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
const pace = Math.round((report.runs / seconds) * 60);
console.log(`${report.runs} runs with seed ${report.seed} in ${seconds.toFixed(0)} s, ${pace} a minute`);
console.log(explain(report));
process.exit(report.failure === undefined ? 0 : 1);
