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

/** Volumes: trees of files on this machine's disk, root-owned, mode 0755, shown in sandboxes under `/__modal/volumes`. */
export interface Volumes {
  getOrCreate(request: {
    name: string;
    ephemeral: boolean;
    create: "no" | "if_missing" | "fail_if_exists";
    version: number;
  }): Volume;
  /** Throws NOT_FOUND. */
  byId(id: string): Volume;
  /** The path of its tree: a directory, or an image beside that path. The runtime knows which. */
  tree(id: string): string;
  limit(id: string): DiskLimit;
  /** Notes who uses it: it counts in what that owner takes. The first to use it counts. */
  claim(id: string, owner: string): void;
  /** Bytes on the disk of all that an owner has, as far as the kind of its volumes lets that be told at once. */
  usedBy(owner: string): Promise<number>;
  /** `usedBy` names living sandboxes that mount it; then it is refused. */
  delete(id: string, usedBy: string[]): Promise<void>;
  heartbeat(id: string): void;
  /** Removes ephemeral volumes that nobody has kept alive, except those in use. */
  collect(inUse: Set<string>): Promise<string[]>;
}

/** Three missed heartbeats of the SDK (300 s each). */
const ephemeralLifeS = 900;

export function createVolumes(store: Store, { dataDir, disk }: Pick<EngineOptions, "dataDir" | "disk">): Volumes {
  const root = join(dataDir, "volumes");
  mkdirSync(root, { recursive: true, mode: 0o700 });
  finishInterrupted(store, root);
  const byName = (name: string) => {
    const row = store.get("SELECT * FROM volumes WHERE name = ?", name);
    return row && toVolume(row);
  };
  const byId = (id: string) => {
    const row = isId(id, "vo") ? store.get("SELECT * FROM volumes WHERE id = ?", id) : undefined;
    if (!row) throw refuse.volumeIdNotFound(shown(id));
    return toVolume(row);
  };
  const create = (name: string | undefined, version: number): Volume => {
    const volume = { id: newId("vo"), name, version: version || 1 };
    const directory = join(root, volume.id);
    mkdirSync(directory, { mode: 0o755 });
    chownSync(directory, 0, 0);
    const now = Date.now() / 1000;
    try {
      store.run(
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
  };
  const remove = async (id: string) => {
    const tree = join(root, id);
    // Out of the way first: whatever dies from here on, the next start finishes what the name says.
    setAside(tree);
    store.run("DELETE FROM volumes WHERE id = ?", id);
    await removeTree(tree);
  };
  return {
    byId,
    tree: (id) => join(root, byId(id).id),
    claim: (id, owner) => {
      store.run("UPDATE volumes SET owner = ? WHERE id = ? AND owner IS NULL", owner, id);
    },
    usedBy: async (owner) => {
      let bytes = 0;
      for (const row of store.all("SELECT id FROM volumes WHERE owner = ?", owner)) {
        bytes += await quickUsage(join(root, String(row.id)));
      }
      return bytes;
    },
    limit: (id) => volumeLimit(disk, byId(id).name),
    getOrCreate: ({ name, ephemeral, create: mode, version }) => {
      if (ephemeral) return create(undefined, version);
      if (name === "") throw refuse.invalid("A Volume needs a name");
      const known = byName(name);
      if (known && mode === "fail_if_exists") throw refuse.volumeExists(shown(name));
      if (known) return known;
      if (mode === "no") throw refuse.volumeNotFound(shown(name));
      if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
        throw refuse.invalid(
          `Invalid Volume name '${shown(name)}': use 1 to 64 letters, digits, dashes, dots and underscores`,
        );
      }
      try {
        return create(name, version);
      } catch (error) {
        const other = isTaken(error) ? byName(name) : undefined;
        if (!other) throw error;
        return other;
      }
    },
    delete: async (id, usedBy) => {
      byId(id);
      if (usedBy.length > 0) throw refuse.volumeBusy(id, usedBy);
      await remove(id);
    },
    heartbeat: (id) => {
      byId(id);
      store.run("UPDATE volumes SET heartbeat_at = ? WHERE id = ? AND name IS NULL", Date.now() / 1000, id);
    },
    collect: async (inUse) => {
      const rows = store.all(
        "SELECT id FROM volumes WHERE name IS NULL AND heartbeat_at < ?",
        Date.now() / 1000 - ephemeralLifeS,
      );
      const stale = rows.map((row) => String(row.id)).filter((id) => !inUse.has(id));
      for (const id of stale) await remove(id);
      return stale;
    },
  };
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
