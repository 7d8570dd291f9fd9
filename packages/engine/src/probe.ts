/** What a machine can do for sandboxes, apart from the engine: `holdfast doctor` asks without loading the rest. */
export { probeDisk } from "./disk/probe.ts";
export { lookAround, type Room } from "./disk/shortage.ts";
export type { DiskProbe } from "./disk/types.ts";
export { type NetworkCheck, type NetworkProbe, probeNetwork } from "./network/probe.ts";
export type { IsolationProblem } from "./runtime/isolation-problem.ts";
export { type IsolationReport, probeIsolation } from "./runtime/probe.ts";
