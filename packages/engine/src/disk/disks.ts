import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { imageOf, mountImage, type Place } from "./image.ts";
import { makeImage, unfinishedSuffix } from "./make-image.ts";
import { limitEmptyDirectory, releaseProject } from "./project.ts";
import { createTrees, plainTree } from "./trees.ts";
import type { DiskKeeper, DiskKind, DiskLimit, OpenTree } from "./types.ts";

export interface DisksOptions {
  kind: DiskKind;
  /** Where prepared images wait; on the disk of the sandboxes' directories. */
  spareDir: string;
  place: Place;
  convertUpTo: DiskLimit;
  warn(message: string): void;
}

/** What a sandbox has open: its volumes by their paths, and its writable layer. */
export class Disks {
  readonly kind: DiskKind;
  readonly #options: DisksOptions;
  readonly #trees: DiskKeeper;
  readonly #open = new Map<string, { tree: Promise<OpenTree>; users: number }>();
  /** Closings that run; a volume is opened again only after them. */
  readonly #closing = new Map<string, Promise<void>>();
  #preparing: Promise<void> | undefined;

  constructor(options: DisksOptions) {
    this.kind = options.kind;
    this.#options = options;
    this.#trees = createTrees(options);
    mkdirSync(options.spareDir, { recursive: true, mode: 0o700 });
    // What an earlier keeper prepared serves us too, unless it had not finished.
    for (const name of readdirSync(options.spareDir)) {
      if (name.endsWith(unfinishedSuffix)) rmSync(join(options.spareDir, name), { force: true });
    }
  }

  /** A volume, opened once for all who use it; each closes what it was given. */
  async openVolume(path: string, limit: DiskLimit): Promise<OpenTree> {
    await this.#closing.get(path);
    const known = this.#open.get(path);
    const entry = known ?? { tree: this.#trees.open(path, limit), users: 0 };
    if (known === undefined) this.#open.set(path, entry);
    entry.users += 1;
    try {
      const tree = await entry.tree;
      let closed: Promise<void> | undefined;
      return {
        ...tree,
        close: () => {
          closed ??= this.#leave(path, entry);
          return closed;
        },
      };
    } catch (error) {
      if (this.#open.get(path) === entry) this.#open.delete(path);
      throw error;
    }
  }

  async #leave(path: string, entry: { tree: Promise<OpenTree>; users: number }): Promise<void> {
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#open.delete(path);
    const closing = entry.tree.then((tree) => tree.close());
    const settled = closing.then(
      () => undefined,
      () => undefined, // Whoever closes it is told.
    );
    this.#closing.set(path, settled);
    try {
      await closing;
    } finally {
      if (this.#closing.get(path) === settled) this.#closing.delete(path);
    }
  }

  /** Where a sandbox's writable layer and overlayfs's own directory lie, in `directory`, which is empty and ours alone. */
  async openUpper(directory: string, limit: DiskLimit): Promise<OpenTree> {
    if (this.kind === "soft") return plainTree(directory, limit);
    if (this.kind === "project") {
      const project = limitEmptyDirectory(directory, limit);
      const tree = await this.#trees.open(directory, limit);
      return {
        ...tree,
        close: async () => {
          await tree.close();
          // It is removed next, by its path; a limit must not outlive it.
          releaseProject(dirname(directory), project);
        },
      };
    }
    const file = imageOf(join(directory, "upper"));
    await this.#takeSpare(file, limit);
    const mounted = await mountImage(file, this.#options.place);
    return { kind: "image", limit, source: mounted.root, use: mounted.use, close: mounted.close };
  }

  /** Making one takes longer than mounting it, so that one is always there. */
  async #takeSpare(file: string, limit: DiskLimit): Promise<void> {
    const spare = join(this.#options.spareDir, `${limit.bytes}-${limit.inodes}.img`);
    await this.#preparing;
    try {
      renameSync(spare, file);
    } catch {
      // None, or another sandbox has just taken it.
      await makeImage(file, limit);
    }
    this.#prepare(spare, limit);
  }

  #prepare(spare: string, limit: DiskLimit): void {
    if (this.#preparing !== undefined || existsSync(spare)) return;
    this.#preparing = makeImage(spare, limit)
      .catch((error: unknown) => this.#options.warn(`No image could be prepared: ${String(error)}`))
      .finally(() => {
        this.#preparing = undefined;
      });
  }

  /** After the last sandbox: what was prepared is removed. */
  async shutdown(): Promise<void> {
    await this.#preparing;
    rmSync(this.#options.spareDir, { recursive: true, force: true });
  }
}
