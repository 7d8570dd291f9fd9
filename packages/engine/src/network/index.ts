export { type CreateNetworkOptions, createNetwork } from "./network.ts";
export { NetworkError } from "./network-error.ts";
export { type NetworkCheck, type NetworkProbe, probeNetwork } from "./probe.ts";
export type { Network, NetworkOptions, NetworkPolicy, PublishedService, SandboxNetwork } from "./types.ts";
