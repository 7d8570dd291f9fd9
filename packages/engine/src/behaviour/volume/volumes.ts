import { chownSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { EngineOptions } from "../../config/options.ts";
import { goneSuffix, quickUsage, removeTree, removeTreeSync, setAside } from "../../disk/trees.ts";
import type { DiskLimit } from "../../disk/types.ts";
import { refuse } from "../../errors.ts";
import { isId, newId, shown } from "../../ids.ts";
import { isTaken, type Row, type Store } from "../../state/store.ts";
import { volumeLimit } from "./limits.ts";

export interface Volume {
  id: string;
  /** Undefined for an ephemeral volume. */
  name: string | undefined;
  version: number;
}

/** Three missed heartbeats of the SDK (300 s each). */
const ephemeralLifeS = 900;

interface WantedVolume {
  name: string;
  ephemeral: boolean;
  create: "no" | "if_missing" | "fail_if_exists";
  version: number;
}

/** Volumes: trees of files on this machine's disk, root-owned, mode 0755, shown in sandboxes under `/__modal/volumes`. */
export class Volumes {
  readonly #store: Store;
  readonly #root: string;
  readonly #disk: EngineOptions["disk"];

  constructor(store: Store, { dataDir, disk }: Pick<EngineOptions, "dataDir" | "disk">) {
    this.#store = store;
    this.#root = join(dataDir, "volumes");
    this.#disk = disk;
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    finishInterrupted(store, this.#root);
  }

  getOrCreate({ name, ephemeral, create, version }: WantedVolume): Volume {
    if (ephemeral) return this.#create(undefined, version);
    if (name === "") throw refuse.invalid("A Volume needs a name");
    const known = this.#byName(name);
    if (known && create === "fail_if_exists") throw refuse.volumeExists(shown(name));
    if (known) return known;
    if (create === "no") throw refuse.volumeNotFound(shown(name));
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
      throw refuse.invalid(
        `Invalid Volume name '${shown(name)}': use 1 to 64 letters, digits, dashes, dots and underscores`,
      );
    }
    try {
      return this.#create(name, version);
    } catch (error) {
      const other = isTaken(error) ? this.#byName(name) : undefined;
      if (!other) throw error;
      return other;
    }
  }

  /** Throws NOT_FOUND. */
  byId(id: string): Volume {
    const row = isId(id, "vo") ? this.#store.get("SELECT * FROM volumes WHERE id = ?", id) : undefined;
    if (!row) throw refuse.volumeIdNotFound(shown(id));
    return toVolume(row);
  }

  /** The path of its tree: a directory, or an image beside that path. The runtime knows which. */
  tree(id: string): string {
    return join(this.#root, this.byId(id).id);
  }

  limit(id: string): DiskLimit {
    return volumeLimit(this.#disk, this.byId(id).name);
  }

  /** Notes who uses it: it counts in what that owner takes. The first to use it counts. */
  claim(id: string, owner: string): void {
    this.#store.run("UPDATE volumes SET owner = ? WHERE id = ? AND owner IS NULL", owner, id);
  }

  /** Bytes on the disk of all that an owner has, as far as the kind of its volumes lets that be told at once. */
  async usedBy(owner: string): Promise<number> {
    let bytes = 0;
    for (const row of this.#store.all("SELECT id FROM volumes WHERE owner = ?", owner)) {
      bytes += await quickUsage(join(this.#root, String(row.id)));
    }
    return bytes;
  }

  /** `usedBy` names living sandboxes that mount it; then it is refused. */
  async delete(id: string, usedBy: string[]): Promise<void> {
    this.byId(id);
    if (usedBy.length > 0) throw refuse.volumeBusy(id, usedBy);
    await this.#remove(id);
  }

  heartbeat(id: string): void {
    this.byId(id);
    this.#store.run("UPDATE volumes SET heartbeat_at = ? WHERE id = ? AND name IS NULL", Date.now() / 1000, id);
  }

  /** Removes ephemeral volumes that nobody has kept alive, except those in use. */
  async collect(inUse: Set<string>): Promise<string[]> {
    const rows = this.#store.all(
      "SELECT id FROM volumes WHERE name IS NULL AND heartbeat_at < ?",
      Date.now() / 1000 - ephemeralLifeS,
    );
    const stale = rows.map((row) => String(row.id)).filter((id) => !inUse.has(id));
    for (const id of stale) await this.#remove(id);
    return stale;
  }

  #byName(name: string): Volume | undefined {
    const row = this.#store.get("SELECT * FROM volumes WHERE name = ?", name);
    return row && toVolume(row);
  }

  #create(name: string | undefined, version: number): Volume {
    const volume = { id: newId("vo"), name, version: version || 1 };
    const directory = join(this.#root, volume.id);
    mkdirSync(directory, { mode: 0o755 });
    chownSync(directory, 0, 0);
    const now = Date.now() / 1000;
    try {
      this.#store.run(
        "INSERT INTO volumes (id, name, version, created_at, heartbeat_at) VALUES (?, ?, ?, ?, ?)",
        volume.id,
        name ?? null,
        volume.version,
        now,
        name === undefined ? now : null,
      );
    } catch (error) {
      rmSync(directory, { recursive: true });
      throw error;
    }
    return volume;
  }

  async #remove(id: string): Promise<void> {
    const tree = join(this.#root, id);
    // Out of the way first: whatever dies from here on, the next start finishes what the name says.
    setAside(tree);
    this.#store.run("DELETE FROM volumes WHERE id = ?", id);
    await removeTree(tree);
  }
}

/**
 * What an engine that was killed had begun: deletions are finished, and a directory is removed whose volume was never
 * recorded, if it is empty. One with files in it is kept: no row is no proof that nobody wants them.
 */
function finishInterrupted(store: Store, root: string): void {
  for (const name of readdirSync(root)) {
    const directory = join(root, name);
    const [id = ""] = name.split(".");
    if (name.endsWith(goneSuffix)) {
      store.run("DELETE FROM volumes WHERE id = ?", id);
      removeTreeSync(join(root, id));
    } else if (name === id && store.get("SELECT 1 FROM volumes WHERE id = ?", id) === undefined) {
      if (readdirSync(directory).length === 0) rmdirSync(directory);
    }
  }
}

function toVolume(row: Row): Volume {
  const name = row.name;
  return { id: String(row.id), name: name == null ? undefined : String(name), version: Number(row.version) };
}
