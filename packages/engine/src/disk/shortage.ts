import { readFileSync, statfsSync } from "node:fs";

/** What is left of the machine, and below what nothing new is begun. Bytes. */
export interface Room {
  /** Of the disk, less what is promised to images and not written yet. */
  freeDisk: number;
  pendingDisk: number;
  diskReserve: number;
  freeMemory: number;
  memoryReserve: number;
  /** Below it somebody is ended. */
  memoryLeast: number;
}

/** What one sandbox takes at this moment. */
export interface Taker {
  id: string;
  account: number;
  diskBytes: number;
  pendingBytes: number;
  /** Anonymous memory; asked for only when it matters. */
  memoryBytes(): number;
}

const gib = 2 ** 30;

/**
 * What must stay free on a disk: 2 GiB, 5 %, or twice what the kernel may hold unwritten, whichever is most; never more
 * than a tenth of the disk (2 GiB) nor a quarter of a small one. Images that meet a full disk lose what was promised.
 */
export function diskReserve(totalBytes: number, dirtyBytes: number): number {
  const wanted = Math.max(2 * gib, totalBytes * 0.05, 2 * dirtyBytes);
  return Math.min(wanted, Math.max(2 * gib, totalBytes * 0.1), totalBytes / 4);
}

export function memoryReserve(totalBytes: number): number {
  return Math.min(Math.max(0.75 * gib, totalBytes * 0.1), totalBytes / 4);
}

function meminfo(): { total: number; available: number } {
  const text = readFileSync("/proc/meminfo", "utf8");
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0) * 1024;
  return { total: of("MemTotal"), available: of("MemAvailable") };
}

function sysctl(name: string): number {
  return Number(readFileSync(`/proc/sys/vm/${name}`, "utf8"));
}

/** What is kept free; what is missing follows from the machine. Bytes. */
export interface Reserves {
  diskBytes?: number;
  memoryBytes?: number;
  /** Below it somebody is ended. Default: half of `memoryBytes`. */
  leastMemoryBytes?: number;
  /** All memory there is for sandboxes together; default: the machine's. */
  totalMemoryBytes?: number;
}

/** Cheap: a few microseconds. `takers` are what is mounted. The reserves are the operator's, or the machine's. */
export function lookAround(
  directory: string,
  takers: readonly Pick<Taker, "pendingBytes" | "memoryBytes">[],
  wanted: Reserves = {},
): Room {
  const { bavail, blocks, bsize } = statfsSync(directory);
  const { total, available } = meminfo();
  const pendingDisk = takers.reduce((sum, { pendingBytes }) => sum + pendingBytes, 0);
  const dirty = Math.min(sysctl("dirty_bytes") || Number.POSITIVE_INFINITY, (sysctl("dirty_ratio") / 100) * available);
  const given = wanted.totalMemoryBytes;
  const memory = wanted.memoryBytes ?? memoryReserve(Math.min(total, given ?? total));
  const unused = () => takers.reduce((left, taker) => left - taker.memoryBytes(), given ?? 0);
  return {
    freeDisk: bavail * bsize - pendingDisk,
    pendingDisk,
    diskReserve: wanted.diskBytes ?? diskReserve(blocks * bsize, dirty),
    freeMemory: given === undefined ? available : Math.min(available, unused()),
    memoryReserve: memory,
    memoryLeast: wanted.leastMemoryBytes ?? memory / 2,
  };
}

/** Why nothing new is begun, in words for whoever asked; undefined when there is room. */
export function refusalOf(room: Room): string | undefined {
  const mib = (bytes: number) => `${Math.max(0, Math.floor(bytes / 2 ** 20))} MiB`;
  const running = "What runs goes on";
  if (room.freeDisk < room.diskReserve) {
    return `The disk of this machine is nearly full: ${mib(room.freeDisk)} free, ${mib(room.diskReserve)} are kept. ${running}; delete workspaces, or ask the operator for room, then try again.`;
  }
  if (room.freeMemory < room.memoryReserve) {
    return `The memory of this machine is nearly used up: ${mib(room.freeMemory)} free, ${mib(room.memoryReserve)} are kept. ${running}; stop a sandbox, or wait for one to end, then try again.`;
  }
  return undefined;
}

/** Who must go so that everybody else goes on. */
export interface Sentence {
  reason: "disk" | "memory";
  ids: string[];
}

/**
 * Below half of a reserve somebody goes: of the disk, all sandboxes of the account that wrote most since `before` (disk
 * bytes by sandbox); of the memory, the largest sandbox of the account that holds most. Nobody, when nobody wrote.
 */
export function sentence(
  room: Room,
  takers: readonly Taker[],
  before: ReadonlyMap<string, number>,
): Sentence | undefined {
  if (room.freeDisk < room.diskReserve / 2) {
    const grown = byAccount(takers, (taker) =>
      Math.max(0, taker.diskBytes - (before.get(taker.id) ?? taker.diskBytes)),
    );
    if (grown !== undefined) return { reason: "disk", ids: grown.takers.map(({ id }) => id) };
  }
  if (room.freeMemory < room.memoryLeast) {
    const sizes = new Map(takers.map((taker) => [taker.id, taker.memoryBytes()]));
    const sizeOf = ({ id }: Taker) => sizes.get(id) ?? 0;
    const largest = byAccount(takers, sizeOf)?.takers.toSorted((a, b) => sizeOf(b) - sizeOf(a))[0];
    if (largest !== undefined) return { reason: "memory", ids: [largest.id] };
  }
  return undefined;
}

function byAccount(
  takers: readonly Taker[],
  weigh: (taker: Taker) => number,
): { takers: Taker[]; weight: number } | undefined {
  const accounts = new Map<number, { takers: Taker[]; weight: number }>();
  for (const taker of takers) {
    const entry = accounts.get(taker.account) ?? { takers: [], weight: 0 };
    entry.takers.push(taker);
    entry.weight += weigh(taker);
    accounts.set(taker.account, entry);
  }
  const heaviest = [...accounts.values()].toSorted((a, b) => b.weight - a.weight)[0];
  return heaviest !== undefined && heaviest.weight > 0 ? heaviest : undefined;
}
