import { closeSync } from "node:fs";
import type { AccountLimits } from "./account-limits.ts";
import { ID_COUNT } from "./id-map-size.ts";
import { makeAccountNamespace, makeUserNamespace } from "./user-namespaces.ts";

/** Accounts whose namespaces are kept open while nobody starts a sandbox of theirs; more are made anew when needed. */
const KEPT = 128;

export interface IdMaps {
  /** For volumes: disk id n is the sandbox's id n, nothing else exists. */
  volumeFd: number;
  /** For overlay layers: the same, and disk id 65 536 stands for the keeper, whose scratch files overlayfs creates. */
  layerFd: number;
  /** The user namespace that the account's sandboxes run in; absent where each gets one of root's. */
  accountFd?: number;
}

/** Good until disposed: then the descriptors may be closed. */
export type IdMapLease = IdMaps & Disposable;

interface Kept {
  made: Promise<IdMaps>;
  users: number;
}

export interface IdMapOptions {
  /** Whether sandboxes can run in a namespace that we make; otherwise the runtime makes one, and counters are shared. */
  joinNamespace: boolean;
  limits: AccountLimits;
  /** Default 128. */
  kept?: number;
}

/** User namespaces of accounts, kept open: two hold the id maps of idmapped mounts, one is what sandboxes run in. */
export class IdMapCache {
  readonly #kept = new Map<number, Kept>();
  readonly #options: IdMapOptions;

  constructor(options: IdMapOptions) {
    this.#options = options;
  }

  /** How many accounts have namespaces open here. */
  get size(): number {
    return this.#kept.size;
  }

  async get(hostIdBase: number): Promise<IdMapLease> {
    const kept = this.#kept.get(hostIdBase) ?? { made: makeMaps(hostIdBase, this.#options), users: 0 };
    // The newest is last: the first that nobody uses is the one to go.
    this.#kept.delete(hostIdBase);
    this.#kept.set(hostIdBase, kept);
    kept.users++;
    try {
      const maps = await kept.made;
      return { ...maps, [Symbol.dispose]: once(() => this.#release(kept)) };
    } catch (error) {
      if (this.#kept.get(hostIdBase) === kept) this.#kept.delete(hostIdBase);
      throw error;
    }
  }

  #release(kept: Kept): void {
    kept.users--;
    for (const [hostIdBase, { made, users }] of this.#kept) {
      if (this.#kept.size <= (this.#options.kept ?? KEPT)) return;
      if (users > 0) continue;
      this.#kept.delete(hostIdBase);
      // Settled: whoever used it has waited for it. Living sandboxes and mounts hold their namespace themselves.
      made.then(close, () => undefined);
    }
  }
}

/** The runtime's config with the account's user namespace in the place of one of its own. */
export function joinAccount(config: unknown, { accountFd }: IdMaps): unknown {
  if (accountFd === undefined) return config;
  const known = config as { linux: { namespaces: { type: string; path?: string }[] } };
  const path = `/proc/${process.pid}/fd/${accountFd}`;
  const namespaces = known.linux.namespaces.map((ns) => (ns.type === "user" ? { type: "user", path } : ns));
  return { ...known, linux: { ...known.linux, namespaces } };
}

async function makeMaps(hostIdBase: number, { joinNamespace, limits }: IdMapOptions): Promise<IdMaps> {
  const own = `0 ${hostIdBase} ${ID_COUNT}\n`;
  const made = await Promise.allSettled([
    makeUserNamespace(own),
    makeUserNamespace(`${own}${ID_COUNT} 0 1\n`),
    joinNamespace ? makeAccountNamespace(hostIdBase, limits) : undefined,
  ]);
  const failed = made.find((result) => result.status === "rejected");
  const [volumeFd, layerFd, accountFd] = made.map((result) =>
    result.status === "fulfilled" ? result.value : undefined,
  );
  if (failed !== undefined || volumeFd === undefined || layerFd === undefined) {
    for (const fd of [volumeFd, layerFd, accountFd]) if (fd !== undefined) closeSync(fd);
    throw failed?.reason;
  }
  return { volumeFd, layerFd, ...(accountFd === undefined ? {} : { accountFd }) };
}

function close({ volumeFd, layerFd, accountFd }: IdMaps): void {
  for (const fd of [volumeFd, layerFd, accountFd]) if (fd !== undefined) closeSync(fd);
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
