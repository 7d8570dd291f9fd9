/**
 * The only way out of a sandbox. A router network namespace of the engine's own holds the sandboxes' veths and one
 * Node process (egress) that decides every connection; the host's firewall, routes and sysctls stay untouched.
 */

/** A service on the host that sandboxes may reach under a name, when their policy allows that name. */
export interface PublishedService {
  /** Host name inside sandboxes, e.g. `gateway.holdfast.internal`. */
  name: string;
  /** Port inside sandboxes. */
  port: number;
  target: { host: string; port: number };
  /** Whether each connection begins with a header that names the sandbox and its owner; false by default. */
  announce?: boolean;
}

export type NetworkPolicy =
  /** Everything but loopback, link-local, metadata addresses and the host's own addresses. Published services too. */
  | { kind: "open" }
  /** As open, but for the private networks of IPv4 (10/8, 172.16/12, 192.168/16) that `cidrs` does not list. */
  | { kind: "public"; cidrs: string[] }
  | { kind: "blocked" }
  /** Only these. Domains: exact or `*.suffix`; published services by their name; others by TLS SNI or HTTP Host. */
  | { kind: "allowlist"; cidrs: string[]; domains: string[] };

export interface SandboxNetwork {
  /** Path that an OCI bundle's `namespaces[].path` takes, e.g. `/run/netns/hf-…`. */
  namespacePath: string;
  /** Content for /etc/resolv.conf and /etc/hosts inside. */
  resolvConf: string;
  hosts: string;
}

/** `Symbol.asyncDispose` lets go without destroying: sandboxes keep their network for the engine that starts next. */
export interface Network extends AsyncDisposable {
  /** Idempotent per id. */
  attach(sandboxId: string, policy: NetworkPolicy): Promise<SandboxNetwork>;
  setPolicy(sandboxId: string, policy: NetworkPolicy): Promise<void>;
  detach(sandboxId: string): Promise<void>;
  /** Removes namespaces that a killed engine's tools made after all; those that nobody has used for a round. */
  collect(): Promise<string[]>;
  /** What an engine that starts again finds living. */
  list(): Promise<string[]>;
  /** Removes every namespace, link, process and file of this instance. Disposing alone keeps all of it running. */
  destroyAll(): Promise<void>;
}

export interface NetworkOptions {
  /** Root-only directory for state that outlives the engine. */
  stateDir: string;
  /** Short, unique per engine data directory: prefix of namespace and interface names (≤ 6 characters). */
  instance: string;
  publishedServices: PublishedService[];
  /** Who owns a sandbox, for services that are told; undefined: nobody is named. */
  ownerOf?: (sandboxId: string) => string | undefined;
  /** The host's resolver configuration, for names that a policy lets out; `/etc/resolv.conf` by default. */
  resolvConfPath?: string;
  /** Namespaces kept ready so that `attach` need not wait for their making; 4 by default. */
  poolSize?: number;
}
