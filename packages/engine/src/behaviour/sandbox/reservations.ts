import { refuse } from "../../errors.ts";
import type { StoredSpec } from "./spec.ts";

/** What a sandbox is counted with that reserves nothing; as on Modal. */
const defaultReservedBytes = 128 * 1024 * 1024;

/** What one sandbox reserves. */
export interface Reservation {
  /** Whose it is. */
  owner: string;
  bytes: number;
}

export interface MemoryRules {
  /** Of the machine, less what is kept free. */
  usableBytes: number;
  /** Of `usableBytes`: how many times it may be promised. */
  overcommit: number;
  /** Of that: the most that one account may have. */
  accountShare: number;
}

/**
 * Throws RESOURCE_EXHAUSTED, in words for whoever asked, when `wanted` does not fit beside what is reserved by others.
 * Nothing that runs is touched by it.
 */
export function admitMemory(wanted: Reservation, reserved: Iterable<Reservation>, rules: MemoryRules): void {
  const total = rules.usableBytes * rules.overcommit;
  const most = total * rules.accountShare;
  let all = 0;
  let own = 0;
  for (const { owner, bytes } of reserved) {
    all += bytes;
    if (owner === wanted.owner) own += bytes;
  }
  if (own + wanted.bytes > most) throw refuse.accountMemory({ wanted: wanted.bytes, reserved: own, most });
  if (all + wanted.bytes > total) throw refuse.machineMemory({ wanted: wanted.bytes, reserved: all, most: total });
}

export function reservationOf({ idOwner, reservedBytes = defaultReservedBytes }: StoredSpec): Reservation {
  return { owner: idOwner, bytes: reservedBytes };
}
