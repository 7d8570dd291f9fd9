import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { encodeProxyHeader, proxyValue } from "@holdfast/std";
import { type Claim, Connection } from "./connection.ts";
import { readFirstName } from "./first-name.ts";
import type { NameServers } from "./name-servers.ts";
import { decide, forbidden } from "./policy.ts";
import type { NameResolver } from "./resolver.ts";
import type { Sandbox, World } from "./sandbox.ts";

/** Two descriptors each; one sandbox never takes more than a quarter of what this process may open. */
const maxConnectionsPerSandbox = Math.min(2_048, Math.floor(openFilesLimit() / 8));
/** A client that says nothing by then is no TLS or HTTP client. */
const firstNameMs = 10_000;
const dialMs = 30_000;
const maxAddressesTried = 4;

function openFilesLimit(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
}

/** A refusal with the reason that is reported. */
class Refused extends Error {
  readonly reason: string;
  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

export interface ProxyParts {
  world: World;
  nameServers: NameServers;
  resolver: NameResolver;
}

/** Takes a connection that the router namespace intercepted: its local address is where the sandbox wanted to go. */
export function accept(parts: ProxyParts, client: Socket): void {
  const { world } = parts;
  const { localAddress, localPort, remoteAddress } = client;
  if (localAddress === undefined || localPort === undefined || remoteAddress === undefined) {
    // Gone before we looked.
    client.destroy();
    return;
  }
  const sandbox = world.byAddress.get(remoteAddress);
  const connection = new Connection(client, `${localAddress}:${localPort}`, (over) =>
    sandbox?.connections.delete(over),
  );
  if (sandbox === undefined || sandbox.connections.size >= maxConnectionsPerSandbox) {
    const reason = sandbox === undefined ? "unknown_sandbox" : "too_many_connections";
    world.report(sandbox, connection.destination, reason);
    connection.reset();
    return;
  }
  sandbox.connections.add(connection);
  if (localPort === 53) {
    connection.claim = { kind: "dns" };
    parts.resolver.serveTcp(sandbox, client);
    return;
  }
  forward(parts, sandbox, { connection, address: localAddress, port: localPort }).catch((error: unknown) => {
    if (!connection.signal.aborted) world.report(sandbox, connection.destination, reasonOf(error));
    connection.reset();
  });
}

function reasonOf(error: unknown): string {
  if (error instanceof Refused) return error.reason;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === undefined ? String(error) : `unreachable: ${code}`;
}

interface Intercepted {
  connection: Connection;
  address: string;
  port: number;
}

async function forward(parts: ProxyParts, sandbox: Sandbox, intercepted: Intercepted): Promise<void> {
  const { connection, address, port } = intercepted;
  const decision = decide(sandbox.policy, { address, port }, parts.world);
  switch (decision.kind) {
    case "refuse":
      throw new Refused(decision.reason);
    case "service": {
      const { name, target, announce } = decision.service;
      const upstream = await dial([target.host], target.port, connection.signal);
      const head = announce === true ? announcement(sandbox, intercepted) : Buffer.alloc(0);
      return join(parts.world, sandbox, { connection, upstream, claim: { kind: "service", name, port }, head });
    }
    case "address": {
      const upstream = await dialOutside([address], port, connection.signal);
      return join(parts.world, sandbox, { connection, upstream, claim: { kind: "address", address } });
    }
    case "name":
      return await forwardByName(parts, sandbox, intercepted);
  }
}

/** Written before any byte of the sandbox's. */
function announcement(sandbox: Sandbox, { connection, address, port }: Intercepted): Buffer {
  const values = new Map<number, string>([[proxyValue.sandbox, sandbox.id]]);
  if (sandbox.owner !== undefined) values.set(proxyValue.owner, sandbox.owner);
  const source = { address: sandbox.address, port: connection.client.remotePort ?? 0 };
  return Buffer.from(encodeProxyHeader({ source, destination: { address, port }, values }));
}

/**
 * Goes where the name leads that the client says, not to the address it dialled: that one could belong to anybody. A
 * server that answers for several names can still be asked for another one inside the connection.
 */
async function forwardByName(parts: ProxyParts, sandbox: Sandbox, intercepted: Intercepted): Promise<void> {
  const { connection, port } = intercepted;
  const limit = AbortSignal.any([connection.signal, AbortSignal.timeout(firstNameMs)]);
  const { name, head } = await readFirstName(connection.client, { signal: limit });
  if (name === undefined) throw new Refused("not_in_allowlist");
  const published = parts.world.services.some((service) => service.name === name);
  if (published || !sandbox.policy.allowsName(name)) throw new Refused(`not_in_allowlist: ${name}`);
  const addresses = await parts.nameServers.lookup(
    name,
    AbortSignal.any([connection.signal, AbortSignal.timeout(dialMs)]),
  );
  const usable = addresses.filter((address) => forbidden(address, parts.world.isHostAddress) === undefined);
  if (usable.length === 0) {
    throw new Refused(addresses.length === 0 ? `no_address: ${name}` : `forbidden_address: ${name}`);
  }
  const upstream = await dialOutside(usable, port, connection.signal);
  join(parts.world, sandbox, { connection, upstream, claim: { kind: "name", name }, head });
}

function join(
  world: World,
  sandbox: Sandbox,
  parts: { connection: Connection; upstream: Socket; claim: Claim; head?: Buffer },
): void {
  const { connection, upstream, claim, head = Buffer.alloc(0) } = parts;
  connection.claim = claim;
  // The policy may have changed while we dialled.
  const allowed = !connection.signal.aborted && connection.stillAllowed(sandbox.policy, world.services);
  if (!allowed) {
    upstream.resetAndDestroy();
    throw new Refused("policy_changed");
  }
  connection.splice(upstream, head);
}

/** Like `dial`, and refuses a connection that turns out to end on this very host. */
async function dialOutside(addresses: string[], port: number, signal: AbortSignal): Promise<Socket> {
  const socket = await dial(addresses, port, signal);
  if (socket.localAddress !== socket.remoteAddress) return socket;
  socket.resetAndDestroy();
  throw new Refused("host_address");
}

/** Connects from the host's network namespace to the first address that answers. */
async function dial(hosts: string[], port: number, signal: AbortSignal): Promise<Socket> {
  let failure: unknown;
  for (const host of hosts.slice(0, maxAddressesTried)) {
    try {
      return await dialOne(host, port, AbortSignal.any([signal, AbortSignal.timeout(dialMs)]));
    } catch (error) {
      failure = error;
      if (signal.aborted) break;
    }
  }
  throw failure;
}

async function dialOne(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true });
  return await new Promise<Socket>((resolve, reject) => {
    const abort = () => socket.destroy(Object.assign(new Error("timed out"), { code: "ETIMEDOUT" }));
    signal.addEventListener("abort", abort, { once: true });
    // Stays for good: an error after the start is followed by 'close', which ends the other side.
    socket.on("error", reject);
    socket.on("connect", () => {
      signal.removeEventListener("abort", abort);
      resolve(socket);
    });
    if (signal.aborted) abort();
  });
}
