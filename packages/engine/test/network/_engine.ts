import { pino } from "pino";
import { createNetwork } from "../../src/network/index.ts";

/** An engine in a process of its own: attaches one sandbox, says so, and stays until it is killed. */
const network = await createNetwork({ ...JSON.parse(`${process.argv[2]}`), log: pino({ level: "silent" }) });
await network.attach("sb-1", { kind: "open" });
console.log("attached");
