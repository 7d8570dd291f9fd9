import type { NetworkPolicy } from "../types.ts";

/**
 * What the engine and egress say to each other over a Unix socket: one JSON object per line. An egress outlives its
 * engine; one that speaks another version is replaced.
 */
export const protocolVersion = 2;

/** Where egress listens, by an open descriptor of its directory: such a path is short, whatever the directory's is. */
export function controlSocket(directoryFd: number): string {
  return `/proc/self/fd/${directoryFd}/egress.sock`;
}

/** Where egress writes its process id before it listens. */
export function pidFile(directoryFd: number): string {
  return `/proc/self/fd/${directoryFd}/egress.pid`;
}

/** A published service with the address it has inside sandboxes. */
export interface Service {
  /** Lower case, no trailing dot. */
  name: string;
  address: string;
  port: number;
  target: { host: string; port: number };
  /** Whether it is told who speaks. */
  announce?: boolean;
}

export interface SandboxRule {
  id: string;
  /** Its address, by which egress tells it from others. */
  address: string;
  policy: NetworkPolicy;
  /** Who owns it, for services that are told. */
  owner?: string;
}

export interface EgressConfiguration {
  services: Service[];
  resolvConfPath: string;
}

export interface EgressStats {
  sandboxes: number;
  connections: number;
  residentBytes: number;
}

export interface EgressMethods {
  hello: { params: Record<string, never>; result: { version: number; pid: number } };
  /** Replaces services and sandboxes as a whole; closes what is no longer allowed. */
  synchronise: { params: { configuration: EgressConfiguration; sandboxes: SandboxRule[] }; result: null };
  put: { params: SandboxRule; result: null };
  remove: { params: { id: string }; result: null };
  stats: { params: Record<string, never>; result: EgressStats };
  shutdown: { params: Record<string, never>; result: null };
}

export type EgressMethod = keyof EgressMethods;

export type EgressRequest = {
  [M in EgressMethod]: { id: number; method: M; params: EgressMethods[M]["params"] };
}[EgressMethod];

export type EgressResponse = { id: number; result: unknown } | { id: number; error: string };

/** A connection or name that was refused, or could not be reached. */
export interface Refusal {
  /** Absent when the address belongs to no sandbox. */
  sandboxId?: string;
  /** `address:port`, or a name for DNS. */
  destination: string;
  reason: string;
  /** Refusals like this one that were not reported, to keep a busy sandbox from flooding the log. */
  suppressed?: number;
}

export type EgressEvent = { event: "refused"; refusal: Refusal };

export type EgressMessage = EgressResponse | EgressEvent;
