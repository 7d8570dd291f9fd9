import { cgroupExists, cgroupsBelow, removeEmptyCgroup } from "./cgroup.ts";

const PREFIX = "account-";

/**
 * A cgroup for each account, around those of its sandboxes. The kernel shares the processors out among siblings: an
 * account that is busy in ten sandboxes weighs no more than one that is busy in a single one.
 */
export class AccountGroups {
  readonly #parent: string;
  /** By account: ids of the sandboxes that may have a cgroup in its own. */
  readonly #members = new Map<number, Set<string>>();

  /** `parent`: of all sandboxes. */
  constructor(parent: string) {
    this.#parent = parent;
  }

  /** The cgroup for a sandbox of this account; the account's own stays until it has left. */
  join(account: number, id: string): string {
    const members = this.#members.get(account) ?? new Set();
    this.#members.set(account, members.add(id));
    return `${this.#groupOf(account)}/${id}`;
  }

  /** For a sandbox whose cgroup is gone. Throws when the account's cannot be removed after its last; safe to repeat. */
  leave(account: number, id: string): void {
    const members = this.#members.get(account);
    members?.delete(id);
    if (members !== undefined && members.size > 0) return;
    this.#members.delete(account);
    removeEmptyCgroup(this.#groupOf(account));
  }

  /** Of a sandbox whose record is lost or of an earlier release: those put it right below `parent`. */
  find(id: string): string {
    const group = this.#groups().find((name) => cgroupExists(`${name}/${id}`));
    return `${group ?? this.#parent}/${id}`;
  }

  /** Ids of all sandboxes that have a cgroup. Accounts' cgroups that an earlier keeper left empty are removed. */
  found(): string[] {
    const direct = cgroupsBelow(this.#parent).filter((name) => !name.startsWith(PREFIX));
    const ids = this.#groups().flatMap((group) => {
      const below = cgroupsBelow(group);
      if (below.length === 0) removeEmptyCgroup(group);
      return below;
    });
    return [...direct, ...ids];
  }

  #groups(): string[] {
    const names = cgroupsBelow(this.#parent).filter((name) => name.startsWith(PREFIX));
    return names.map((name) => `${this.#parent}/${name}`);
  }

  #groupOf(account: number): string {
    return `${this.#parent}/${PREFIX}${account}`;
  }
}

/** The runtime's config with this cgroup in the place of the one that the engine names. */
export function inCgroup(config: unknown, cgroupsPath: string): unknown {
  const known = config as { linux: object };
  return { ...known, linux: { ...known.linux, cgroupsPath } };
}
