import { readdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";

const TMPFS_MAGIC = 0x01021994;

/**
 * A keeper of an older release put a tmpfs of 1 MB over the v2 tree of a hybrid cgroup machine. The runtime leaves one
 * page in it for each sandbox that ever was, until after 256 no other starts. That keeper may live for long with the
 * sandboxes that it holds: what is left of others is removed for it.
 */
export class HybridLeftovers {
  readonly #dir: string;
  /** Whether the keeper is such an old one. */
  readonly present: boolean;

  constructor(keeperPid: number, cgroupParent: string) {
    const unified = `/proc/${keeperPid}/root/sys/fs/cgroup/unified`;
    this.#dir = `${unified}${cgroupParent}`;
    this.present = isTmpfs(unified);
  }

  /** Removes those of all sandboxes but the living ones. */
  removeAllBut(living: ReadonlySet<string>): void {
    if (!this.present) return;
    for (const id of this.#ids()) if (!living.has(id)) this.remove(id);
  }

  /** Removes those of a sandbox that has ended. */
  remove(sandboxId: string): void {
    if (this.present) rmSync(join(this.#dir, sandboxId), { recursive: true, force: true });
  }

  #ids(): string[] {
    try {
      return readdirSync(this.#dir, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name);
    } catch {
      // It has held no sandbox yet.
      return [];
    }
  }
}

function isTmpfs(path: string): boolean {
  try {
    return statfsSync(path).type === TMPFS_MAGIC;
  } catch {
    // No such directory: a keeper that rebuilt the root, or a machine with one hierarchy.
    return false;
  }
}
