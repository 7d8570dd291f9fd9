export { createNetwork } from "./network.ts";
export { probeNetwork } from "./probe.ts";
export type { Network, NetworkOptions, NetworkPolicy, SandboxNetwork } from "./types.ts";
