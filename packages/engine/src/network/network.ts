import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import type { Logger } from "pino";
import { normaliseHost } from "./egress/domains.ts";
import { compilePolicy } from "./egress/policy.ts";
import type { Service } from "./egress/protocol.ts";
import { EgressKeeper } from "./egress-keeper.ts";
import { endEgress, removeEgressFiles } from "./egress-process.ts";
import * as names from "./names.ts";
import * as namespaces from "./namespaces.ts";
import { NetworkError, reasonOf } from "./network-error.ts";
import { SlotPool } from "./slot-pool.ts";
import { openState, type StateFile } from "./state.ts";
import type { Network, NetworkOptions, NetworkPolicy, PublishedService, SandboxNetwork } from "./types.ts";

export type CreateNetworkOptions = NetworkOptions & { log: Logger };

/**
 * Opens the network of an engine: takes over what an earlier engine of the same instance left running, removes what
 * it left half made. Throws `NetworkError` when this machine cannot do it (`probeNetwork` says why).
 */
export async function createNetwork(options: CreateNetworkOptions): Promise<Network> {
  const { instance, log } = options;
  const stateDir = resolve(options.stateDir);
  names.checkInstance(instance);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const state = openState(
    stateDir,
    (error) => {
      log.error({ error: reasonOf(error) }, "the network's state is unreadable: running sandboxes lose their network");
    },
    (error) => log.warn({ error: reasonOf(error) }, "the network's state could not be written: the disk is full"),
  );
  const services = serviceTable(options.publishedServices, state);
  const router = await namespaces.ensureRouter(instance, services);
  // An egress of a router that is gone listens where nobody can reach it.
  if (router.made) await endEgress(stateDir);
  dropDeadSandboxes(options, state, router.made);
  state.save();
  await removeUnknownNamespaces(instance, state);
  const network = new NamespaceNetwork({ ...options, stateDir }, state, services);
  try {
    await network.open();
    return network;
  } catch (error) {
    await network[Symbol.asyncDispose]();
    throw error;
  }
}

/** Forgets sandboxes whose namespace is gone, or lost its router (the machine was restarted). */
function dropDeadSandboxes(options: CreateNetworkOptions, state: StateFile, routerIsNew: boolean): void {
  for (const [id, { slot }] of Object.entries(state.value.sandboxes)) {
    const alive = namespaces.namespaceLives(names.sandboxNamespace(options.instance, slot));
    if (alive && !routerIsNew) continue;
    options.log.warn({ sandboxId: id }, "the network of this sandbox is gone");
    delete state.value.sandboxes[id];
  }
}

async function removeUnknownNamespaces(instance: string, state: StateFile): Promise<void> {
  const known = new Set(Object.values(state.value.sandboxes).map(({ slot }) => slot));
  const unknown = namespaces.sandboxNamespaces(instance).filter(({ slot }) => !known.has(slot));
  await namespaces.deleteSandboxNamespaces(
    instance,
    unknown.map(({ slot }) => slot),
  );
}

function serviceTable(published: PublishedService[], state: StateFile): Service[] {
  const named = published.map((service) => {
    const name = normaliseHost(service.name);
    if (name !== undefined) return { ...service, name };
    throw new NetworkError({
      what: `The published service ${JSON.stringify(service.name)} cannot be used.`,
      why: "Its name is no host name.",
      todo: "Name it like gateway.holdfast.internal.",
    });
  });
  state.value.services = names.assignServiceAddresses(
    named.map(({ name }) => name),
    state.value.services,
  );
  return named.map((service) => ({ ...service, address: `${state.value.services[service.name]}` }));
}

class NamespaceNetwork implements Network {
  readonly #instance: string;
  readonly #stateDir: string;
  readonly #state: StateFile;
  readonly #services: Service[];
  readonly #egress: EgressKeeper;
  readonly #ownerOf: NetworkOptions["ownerOf"];
  readonly #pool: SlotPool;
  #suspects = new Set<number>();
  /** The last thing under way per sandbox: its calls run one after the other. */
  readonly #queues = new Map<string, Promise<unknown>>();

  constructor(options: CreateNetworkOptions, state: StateFile, services: Service[]) {
    const { instance, stateDir, log, resolvConfPath = "/etc/resolv.conf", poolSize = 4 } = options;
    this.#instance = instance;
    this.#stateDir = stateDir;
    this.#state = state;
    this.#services = services;
    this.#ownerOf = options.ownerOf;
    this.#egress = new EgressKeeper({
      directory: stateDir,
      routerPath: names.namespacePath(names.routerNamespace(instance)),
      log,
      snapshot: () => ({
        configuration: { services, resolvConfPath },
        sandboxes: Object.entries(state.value.sandboxes).map(([id, { slot, policy }]) => ({
          id,
          address: names.sandboxAddress(slot),
          policy,
          ...this.#owner(id),
        })),
      }),
    });
    this.#pool = new SlotPool({
      size: poolSize,
      allocate: () => this.#allocateSlot(),
      create: (slots) => namespaces.createSandboxNamespaces(instance, slots),
      destroy: (slots) => namespaces.deleteSandboxNamespaces(instance, slots),
    });
  }

  async open(): Promise<void> {
    await this.#egress.link();
    this.#pool.fill();
  }

  async attach(sandboxId: string, policy: NetworkPolicy): Promise<SandboxNetwork> {
    compilePolicy(policy);
    return await this.#inTurn(sandboxId, async () => {
      const known = this.#state.value.sandboxes[sandboxId];
      const alive = known && namespaces.namespaceLives(names.sandboxNamespace(this.#instance, known.slot));
      const slot = alive ? known.slot : await this.#pool.take();
      await this.#put(sandboxId, slot, policy);
      return this.#describe(slot);
    });
  }

  async setPolicy(sandboxId: string, policy: NetworkPolicy): Promise<void> {
    compilePolicy(policy);
    await this.#inTurn(sandboxId, async () => {
      const known = this.#state.value.sandboxes[sandboxId];
      if (known === undefined) {
        throw new NetworkError({
          what: `The network policy of ${sandboxId} was not changed.`,
          why: "It has no network here.",
          todo: "Attach it first.",
        });
      }
      await this.#put(sandboxId, known.slot, policy);
    });
  }

  async #put(id: string, slot: number, policy: NetworkPolicy): Promise<void> {
    // Recorded first: an egress that starts meanwhile then knows it too.
    this.#state.value.sandboxes[id] = { slot, policy };
    this.#state.save();
    await this.#egress.tell("put", { id, address: names.sandboxAddress(slot), policy, ...this.#owner(id) });
  }

  #owner(id: string): { owner?: string } {
    const owner = this.#ownerOf?.(id);
    return owner === undefined ? {} : { owner };
  }

  async detach(sandboxId: string): Promise<void> {
    await this.#inTurn(sandboxId, async () => {
      const known = this.#state.value.sandboxes[sandboxId];
      if (known === undefined) return;
      await this.#egress.tell("remove", { id: sandboxId });
      await namespaces.deleteSandboxNamespaces(this.#instance, [known.slot]);
      // Last: whatever fails above is found and done again.
      delete this.#state.value.sandboxes[sandboxId];
      this.#state.save();
    });
  }

  async list(): Promise<string[]> {
    return Object.entries(this.#state.value.sandboxes)
      .filter(([, { slot }]) => namespaces.namespaceLives(names.sandboxNamespace(this.#instance, slot)))
      .map(([id]) => id);
  }

  async collect(): Promise<string[]> {
    const used = new Set([
      ...Object.values(this.#state.value.sandboxes).map(({ slot }) => slot),
      ...this.#pool.unowned,
    ]);
    const unused = namespaces.sandboxNamespaces(this.#instance).filter(({ slot }) => !used.has(slot));
    // One that is just passing from the pool to a sandbox is nobody's for a moment, not for two rounds.
    const doomed = unused.filter(({ slot }) => this.#suspects.has(slot));
    this.#suspects = new Set(unused.map(({ slot }) => slot));
    await namespaces.deleteSandboxNamespaces(
      this.#instance,
      doomed.map(({ slot }) => slot),
    );
    return doomed.map(({ namespace }) => namespace);
  }

  async destroyAll(): Promise<void> {
    await this.#settle();
    await this.#pool[Symbol.asyncDispose]();
    await this.#egress.destroy();
    await namespaces.deleteSandboxNamespaces(
      this.#instance,
      namespaces.sandboxNamespaces(this.#instance).map(({ slot }) => slot),
    );
    await namespaces.deleteNamespaces([names.routerNamespace(this.#instance)]);
    this.#state.remove();
    removeEgressFiles(this.#stateDir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#settle();
    await this.#pool[Symbol.asyncDispose]();
    await this.#egress.close();
  }

  async #settle(): Promise<void> {
    await Promise.allSettled([...this.#queues.values()]);
  }

  #describe(slot: number): SandboxNetwork {
    const hosts = new Map(this.#services.map(({ name, address }) => [name, address]));
    const lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"];
    for (const [name, address] of hosts) lines.push(`${address} ${name}`);
    return {
      namespacePath: names.namespacePath(names.sandboxNamespace(this.#instance, slot)),
      resolvConf: `nameserver ${names.routerAddress}\noptions timeout:3 attempts:2\n`,
      hosts: `${lines.join("\n")}\n`,
    };
  }

  #allocateSlot(): number {
    const { value } = this.#state;
    const taken = new Set([...Object.values(value.sandboxes).map(({ slot }) => slot), ...this.#pool.unowned]);
    for (let tried = 0; tried < names.maxSlot; tried += 1) {
      const slot = value.nextSlot;
      // An address is used again as late as possible.
      value.nextSlot = slot === names.maxSlot ? 1 : slot + 1;
      if (!taken.has(slot)) return slot;
    }
    throw new NetworkError({
      what: "No sandbox can be given a network.",
      why: `All ${names.maxSlot} addresses are in use.`,
      todo: "End sandboxes that are no longer needed.",
    });
  }

  async #inTurn<T>(id: string, work: () => Promise<T>): Promise<T> {
    const previous = this.#queues.get(id) ?? Promise.resolve();
    // The previous call's failure was told to its own caller.
    const current = previous.catch(() => {}).then(work);
    this.#queues.set(id, current);
    try {
      return await current;
    } finally {
      if (this.#queues.get(id) === current) this.#queues.delete(id);
    }
  }
}
