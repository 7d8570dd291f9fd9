import { NetworkError } from "./network-error.ts";

/**
 * Names and addresses. They exist only inside our own namespaces, so two engines on one machine may use the same
 * addresses; only namespace names are shared with the machine and carry the instance.
 */

/** The router's end of every veth: default gateway and resolver of every sandbox. */
export const routerAddress = "100.127.255.254";
/** Published services: one address per name. */
export const serviceNetwork = { address: "100.127.255.0", prefix: 24 } as const;
/** Everything of ours: sandboxes and services. */
export const ownNetwork = { address: "100.64.0.0", prefix: 10 } as const;

/** Where egress listens inside the router namespace. */
export const proxyPort = 4602;
export const resolverPort = 4653;
/** Mark that steers intercepted packets to the proxy. */
export const proxyMark = 1;

export const maxSlot = 65_000;

export function checkInstance(instance: string): void {
  if (!/^[a-z0-9]{1,6}$/.test(instance)) {
    throw new NetworkError({
      what: `The network instance name ${JSON.stringify(instance)} is not usable.`,
      why: "It becomes part of namespace names.",
      todo: "Use 1 to 6 characters out of a-z and 0-9.",
    });
  }
}

export function routerNamespace(instance: string): string {
  return `hf-${instance}`;
}

export function sandboxNamespace(instance: string, slot: number): string {
  return `hf-${instance}-${slot}`;
}

/** The slot of a namespace of this instance; undefined for any other name. */
export function slotOf(instance: string, namespace: string): number | undefined {
  const prefix = `hf-${instance}-`;
  if (!namespace.startsWith(prefix)) return undefined;
  const digits = namespace.slice(prefix.length);
  return /^[1-9][0-9]{0,4}$/.test(digits) ? Number(digits) : undefined;
}

/** The router's end of a sandbox's veth. Lives in the router namespace only. */
export function routerLink(slot: number): string {
  return `hf${slot}`;
}

export function sandboxAddress(slot: number): string {
  return `100.64.${slot >> 8}.${slot & 255}`;
}

export function namespacePath(namespace: string): string {
  return `/run/netns/${namespace}`;
}

/** Keeps the address of every name that already has one, gives the others the next free one. */
export function assignServiceAddresses(names: string[], known: Record<string, string>): Record<string, string> {
  const assigned: Record<string, string> = { ...known };
  const taken = new Set(Object.values(assigned));
  for (const name of names) {
    if (assigned[name] !== undefined) continue;
    const free = Array.from({ length: 253 }, (_, index) => `100.127.255.${index + 1}`).find((a) => !taken.has(a));
    if (free === undefined) {
      throw new NetworkError({
        what: "Too many service names are published into sandboxes.",
        why: "There are 253 addresses for them.",
        todo: "Publish fewer names, or several ports under one name.",
      });
    }
    assigned[name] = free;
    taken.add(free);
  }
  return assigned;
}
