import { readdirSync, statfsSync, writeFileSync } from "node:fs";
import * as names from "./names.ts";
import { inNamespace } from "./native.ts";
import { ruleset, type ServiceAddress } from "./ruleset.ts";
import { run } from "./run.ts";

/** What a live namespace's file is mounted from; a plain file is the rest of one that is gone. */
const nsfsMagic = 0x6e736673;

export function namespaceLives(namespace: string): boolean {
  try {
    return statfsSync(names.namespacePath(namespace)).type === nsfsMagic;
  } catch {
    // Missing is an answer.
    return false;
  }
}

/** Names under /run/netns that belong to this instance, the router excepted; dead ones too. */
export function sandboxNamespaces(instance: string): { namespace: string; slot: number }[] {
  let entries: string[];
  try {
    entries = readdirSync("/run/netns");
  } catch {
    // No namespace was ever made on this machine.
    return [];
  }
  return entries.flatMap((namespace) => {
    const slot = names.slotOf(instance, namespace);
    return slot === undefined ? [] : [{ namespace, slot }];
  });
}

/** Sets kernel variables inside a namespace; those this kernel lacks (IPv6 switched off) are skipped. */
function setSysctls(namespace: string, values: Record<string, string>): void {
  inNamespace(names.namespacePath(namespace), () => {
    for (const [key, value] of Object.entries(values)) {
      try {
        writeFileSync(`/proc/sys/${key}`, value);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
  });
}

/** Makes the router namespace, or keeps the one that stands. Returns whether it was made. */
export async function ensureRouter(instance: string, services: ServiceAddress[]): Promise<{ made: boolean }> {
  const router = names.routerNamespace(instance);
  const whole = namespaceLives(router) && (await hasRuleset(router));
  if (!whole) {
    await deleteNamespaces([router]);
    await run("ip", ["netns", "add", router]);
    setSysctls(router, {
      "net/ipv4/ip_forward": "0",
      // A sandbox's packets come from its own address only: it is how the proxy tells sandboxes apart.
      "net/ipv4/conf/all/rp_filter": "1",
      "net/ipv4/conf/default/rp_filter": "1",
      "net/ipv4/conf/all/accept_redirects": "0",
      "net/ipv4/conf/all/send_redirects": "0",
      "net/ipv6/conf/default/disable_ipv6": "1",
      // Connections of all sandboxes come in by one listener; a burst of one must not cost another's.
      "net/core/somaxconn": "16384",
      "net/ipv4/tcp_max_syn_backlog": "16384",
      "net/netfilter/nf_conntrack_udp_timeout": "5",
      "net/netfilter/nf_conntrack_udp_timeout_stream": "5",
    });
    const commands = [
      "link set lo up",
      `rule add fwmark ${names.proxyMark} lookup 100`,
      "route add local default dev lo table 100",
    ];
    await run("ip", ["-n", router, "-batch", "-"], { input: commands.join("\n") });
  }
  // Last and in one transaction: a router that has the table is whole.
  await run("ip", ["netns", "exec", router, "nft", "-f", "-"], { input: ruleset(services) });
  return { made: !whole };
}

async function hasRuleset(router: string): Promise<boolean> {
  try {
    await run("ip", ["netns", "exec", router, "nft", "list", "table", "inet", "holdfast"]);
    return true;
  } catch {
    // Half made by an engine that died: made again.
    return false;
  }
}

/** Makes sandbox namespaces with their veth to the router, ready for use. Nothing ever shows in the host's namespace. */
export async function createSandboxNamespaces(instance: string, slots: number[]): Promise<void> {
  const router = names.routerNamespace(instance);
  const namespaces = slots.map((slot) => names.sandboxNamespace(instance, slot));
  await run("ip", ["-batch", "-"], { input: namespaces.map((name) => `netns add ${name}`).join("\n") });
  for (const namespace of namespaces) {
    setSysctls(namespace, {
      "net/ipv4/ip_unprivileged_port_start": "0",
      // Inherited by the veth; the loopback keeps ::1.
      "net/ipv6/conf/default/disable_ipv6": "1",
    });
  }
  const outside = slots.flatMap((slot, index) => {
    const link = names.routerLink(slot);
    return [
      `link add ${link} type veth peer name eth0 netns ${namespaces[index]}`,
      `addr add ${names.routerAddress} peer ${names.sandboxAddress(slot)} dev ${link}`,
      `link set ${link} up`,
    ];
  });
  await run("ip", ["-n", router, "-batch", "-"], { input: outside.join("\n") });
  for (const [index, slot] of slots.entries()) {
    const inside = [
      "link set lo up",
      `addr add ${names.sandboxAddress(slot)} peer ${names.routerAddress} dev eth0`,
      "link set eth0 up",
      `route add default via ${names.routerAddress}`,
    ];
    await run("ip", ["-n", `${namespaces[index]}`, "-batch", "-"], { input: inside.join("\n") });
  }
}

/** Removes sandbox namespaces and their links; what is already gone is no error. */
export async function deleteSandboxNamespaces(instance: string, slots: number[]): Promise<void> {
  const router = names.routerNamespace(instance);
  if (namespaceLives(router) && slots.length > 0) {
    // First the links: a process that still lives in the namespace then has no network, whatever holds it open.
    const input = slots.map((slot) => `link del ${names.routerLink(slot)}`).join("\n");
    await run("ip", ["-n", router, "-force", "-batch", "-"], { input }).catch(() => {
      // `ip -force` reports links that were never made; the namespaces below are what counts.
    });
  }
  await deleteNamespaces(slots.map((slot) => names.sandboxNamespace(instance, slot)));
}

export async function deleteNamespaces(namespaces: string[]): Promise<void> {
  const existing = new Set(listNamespaceFiles());
  const doomed = namespaces.filter((name) => existing.has(name));
  if (doomed.length === 0) return;
  await run("ip", ["-batch", "-"], { input: doomed.map((name) => `netns del ${name}`).join("\n") });
}

function listNamespaceFiles(): string[] {
  try {
    return readdirSync("/run/netns");
  } catch {
    // The directory appears with the first namespace.
    return [];
  }
}
