import type { OutputLimits } from "./protocol.ts";

/** Limits of a keeper that was told none. */
export const defaultOutputLimits: OutputLimits = {
  sandboxBytes: 1024 ** 3,
  accountBytes: 4 * 1024 ** 3,
  execRetentionMs: 5 * 60_000,
};

/** One spool as the ledger knows it. */
export interface HeldOutput {
  /** Bytes on disk. */
  readonly heldBytes: number;
  /** Gives the oldest piece back to the disk, whether or not it was read. */
  dropOldest(): void;
}

interface Group {
  bytes: number;
  readonly outputs: Set<HeldOutput>;
}

/**
 * How much output lies on the disk, by sandbox and by account (its first host uid). Over a limit the largest output of
 * that sandbox or account loses its oldest piece: a flood costs itself, a small output beside it stays whole, and no
 * other account loses anything.
 */
export class OutputLedger {
  limits: OutputLimits = defaultOutputLimits;
  readonly #sandboxes = new Map<string, Group>();
  readonly #accounts = new Map<number, Group>();

  /** Where one sandbox's outputs are counted. */
  book(sandboxId: string, account: number): OutputBook {
    return new OutputBook(this, { sandboxId, account });
  }

  /** Sandboxes and accounts with output. */
  get size(): { sandboxes: number; accounts: number } {
    return { sandboxes: this.#sandboxes.size, accounts: this.#accounts.size };
  }

  bytesOf(sandboxId: string): number {
    return this.#sandboxes.get(sandboxId)?.bytes ?? 0;
  }

  change(owner: { sandboxId: string; account: number }, output: HeldOutput, bytes: number): void {
    const { sandboxId, account } = owner;
    note(this.#sandboxes, sandboxId, output, bytes);
    note(this.#accounts, account, output, bytes);
    if (bytes <= 0) return;
    relieve(this.#sandboxes.get(sandboxId), this.limits.sandboxBytes);
    relieve(this.#accounts.get(account), this.limits.accountBytes);
  }
}

/** The ledger, for the outputs of one sandbox. */
export class OutputBook {
  readonly #ledger: OutputLedger;
  readonly #owner: { sandboxId: string; account: number };

  constructor(ledger: OutputLedger, owner: { sandboxId: string; account: number }) {
    this.#ledger = ledger;
    this.#owner = owner;
  }

  /** Pieces of this size: small enough that dropping one keeps nearly all of the limit's worth. */
  get segmentBytes(): number {
    const { sandboxBytes, accountBytes } = this.#ledger.limits;
    return Math.min(Math.max(Math.floor(Math.min(sandboxBytes, accountBytes) / 32), 16 * 1024), 4 * 1024 * 1024);
  }

  /** `output` has so many bytes more on disk (less, when negative). May drop pieces of it or of others. */
  change(output: HeldOutput, bytes: number): void {
    this.#ledger.change(this.#owner, output, bytes);
  }
}

function note<K>(groups: Map<K, Group>, key: K, output: HeldOutput, bytes: number): void {
  let group = groups.get(key);
  if (group === undefined) {
    group = { bytes: 0, outputs: new Set() };
    groups.set(key, group);
  }
  group.bytes += bytes;
  if (output.heldBytes > 0) group.outputs.add(output);
  else group.outputs.delete(output);
  if (group.outputs.size === 0) groups.delete(key);
}

function relieve(group: Group | undefined, limit: number): void {
  while (group !== undefined && group.bytes > limit) {
    let largest: HeldOutput | undefined;
    for (const output of group.outputs) if (output.heldBytes > (largest?.heldBytes ?? 0)) largest = output;
    if (largest === undefined) return;
    // Comes back as a change of minus so many bytes.
    largest.dropOldest();
  }
}
