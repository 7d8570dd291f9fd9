import { readFileSync } from "node:fs";
import { BlockList } from "node:net";

/** How long a reading of the host's addresses is good for. */
const freshMs = 1_000;

/**
 * Addresses that the host answers on, from the kernel's local routing table: unlike the list of interfaces it also
 * has those of interfaces without a carrier and of whole local ranges.
 */
export function parseLocalRoutes(fibTrie: string): [string, number][] {
  const found: [string, number][] = [];
  let address: string | undefined;
  for (const line of fibTrie.split("\n")) {
    address = /\|--\s+(\S+)/.exec(line)?.[1] ?? address;
    const prefix = /\/(\d+) host LOCAL/.exec(line)?.[1];
    if (address !== undefined && prefix !== undefined) found.push([address, Number(prefix)]);
  }
  return found;
}

/** A test against the addresses of this process's own network namespace, read anew every second. */
export function hostAddresses(): (address: string) => boolean {
  let list = new BlockList();
  let readAtMs = Number.NEGATIVE_INFINITY;
  return (address) => {
    if (performance.now() - readAtMs > freshMs) {
      list = new BlockList();
      for (const [network, prefix] of parseLocalRoutes(readFileSync("/proc/self/net/fib_trie", "utf8"))) {
        list.addSubnet(network, prefix, "ipv4");
      }
      readAtMs = performance.now();
    }
    return list.check(address, "ipv4");
  };
}
