import { BlockList, isIP } from "node:net";
import { ownNetwork, serviceNetwork } from "../names.ts";
import { NetworkError } from "../network-error.ts";
import type { NetworkPolicy } from "../types.ts";
import { domainMatcher, normalisePattern } from "./domains.ts";
import type { Service } from "./protocol.ts";

/** A policy ready for many decisions. */
export interface CompiledPolicy {
  allowsName: (host: string) => boolean;
  allowsAddress: (address: string) => boolean;
  /** Whether a destination that no CIDR allows may still be allowed by the name the client says. */
  asksForName: boolean;
  /** What an address that it does not allow is refused for. */
  otherwise: RefusalReason;
}

export function compilePolicy(policy: NetworkPolicy): CompiledPolicy {
  switch (policy.kind) {
    case "open":
      return { allowsName: () => true, allowsAddress: () => true, asksForName: false, otherwise: "not_in_allowlist" };
    case "public": {
      const listed = new BlockList();
      for (const cidr of policy.cidrs) addCidr(listed, cidr);
      const allowsAddress = (address: string) =>
        !privateNetworks.check(address, "ipv4") || listed.check(address, "ipv4");
      return { allowsName: () => true, allowsAddress, asksForName: false, otherwise: "private_network" };
    }
    case "blocked":
      return { allowsName: () => false, allowsAddress: () => false, asksForName: false, otherwise: "not_in_allowlist" };
    case "allowlist": {
      const list = new BlockList();
      for (const cidr of policy.cidrs) addCidr(list, cidr);
      for (const domain of policy.domains) {
        if (normalisePattern(domain) === undefined)
          throw malformed("domain", domain, "api.example.com or *.example.com");
      }
      return {
        allowsName: domainMatcher(policy.domains),
        allowsAddress: (address) => list.check(address, "ipv4"),
        asksForName: policy.domains.length > 0,
        otherwise: "not_in_allowlist",
      };
    }
  }
}

function addCidr(list: BlockList, cidr: string): void {
  const [address = "", prefix, ...rest] = cidr.split("/");
  const family = isIP(address);
  const bits = family === 6 ? 128 : 32;
  const length = prefix === undefined ? bits : Number(prefix);
  const valid = family !== 0 && rest.length === 0 && /^[0-9]{1,3}$/.test(prefix ?? "0") && length <= bits;
  if (!valid) throw malformed("CIDR", cidr, "10.1.0.0/16 or 10.1.2.3");
  list.addSubnet(address, length, family === 6 ? "ipv6" : "ipv4");
}

function malformed(kind: string, value: string, example: string): NetworkError {
  return new NetworkError({
    what: `The network policy's ${kind} ${JSON.stringify(value)} is malformed.`,
    why: "A policy that cannot be read is not guessed.",
    todo: `Write it like ${example}.`,
  });
}

export type RefusalReason =
  | "blocked_by_policy"
  | "not_in_allowlist"
  | "loopback"
  | "link_local"
  | "multicast_or_reserved"
  | "host_address"
  | "sandbox_network"
  | "private_network"
  | "no_such_service";

function subnets(...entries: [string, number][]): BlockList {
  const list = new BlockList();
  for (const [address, prefix] of entries) list.addSubnet(address, prefix, "ipv4");
  return list;
}

/** Of this machine's neighbours; IPv6's own kind (fc00::/7) is out of reach with all of IPv6. */
const privateNetworks = subnets(["10.0.0.0", 8], ["172.16.0.0", 12], ["192.168.0.0", 16]);
const services = subnets([serviceNetwork.address, serviceNetwork.prefix]);
const never: [RefusalReason, BlockList][] = [
  // 0.0.0.0/8 reaches the host itself on Linux.
  ["loopback", subnets(["127.0.0.0", 8], ["0.0.0.0", 8])],
  ["link_local", subnets(["169.254.0.0", 16])],
  ["multicast_or_reserved", subnets(["224.0.0.0", 3])],
  ["sandbox_network", subnets([ownNetwork.address, ownNetwork.prefix])],
];

/** Why no policy may reach an address; undefined when one may. */
export function forbidden(address: string, isHostAddress: (address: string) => boolean): RefusalReason | undefined {
  if (isIP(address) !== 4) return "multicast_or_reserved";
  for (const [reason, list] of never) if (list.check(address, "ipv4")) return reason;
  return isHostAddress(address) ? "host_address" : undefined;
}

export type Decision =
  | { kind: "service"; service: Service }
  | { kind: "address"; address: string }
  /** The name that the client says first (TLS SNI, HTTP Host) decides. */
  | { kind: "name" }
  | { kind: "refuse"; reason: RefusalReason };

export interface DecisionContext {
  services: Service[];
  isHostAddress: (address: string) => boolean;
}

/** Where a connection to `address:port` may go. */
export function decide(
  policy: CompiledPolicy,
  destination: { address: string; port: number },
  context: DecisionContext,
): Decision {
  const { address, port } = destination;
  if (services.check(address, "ipv4")) {
    const service = context.services.find((s) => s.address === address && s.port === port);
    if (service === undefined) return { kind: "refuse", reason: "no_such_service" };
    return policy.allowsName(service.name)
      ? { kind: "service", service }
      : { kind: "refuse", reason: "not_in_allowlist" };
  }
  const reason = forbidden(address, context.isHostAddress);
  if (reason !== undefined) return { kind: "refuse", reason };
  if (policy.allowsAddress(address)) return { kind: "address", address };
  if (policy.asksForName) return { kind: "name" };
  return { kind: "refuse", reason: policy.otherwise };
}
