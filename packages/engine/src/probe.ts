/** What a machine can do for sandboxes, apart from the engine: `holdfast doctor` asks without loading the rest. */
export { type DiskProbe, probeDisk } from "./disk/probe.ts";
export { lookAround, type Room } from "./disk/shortage.ts";
export { type NetworkCheck, type NetworkProbe, probeNetwork } from "./network/probe.ts";
export { type IsolationProblem, type IsolationReport, probeIsolation } from "./runtime/probe.ts";
