import type { Disks } from "../disk/disks.ts";
import { SubdirectoryError, subdirectoryOf } from "../disk/subdirectory.ts";
import type { DiskUse, OpenTree } from "../disk/types.ts";
import { KeeperError } from "./keeper-error.ts";
import type { CreateRequest, MountRequest } from "./protocol.ts";

/** What one sandbox has open of the disk: its volumes and its writable layer. */
export class SandboxDisk {
  /** Where each mount's files lie, in the request's order. */
  sources: string[] = [];
  upperParent: { upperParent?: string } = {};
  readonly #disks: Disks;
  readonly #warn: (message: string) => void;
  #open: OpenTree[] = [];

  constructor(disks: Disks, warn: (message: string) => void) {
    this.#disks = disks;
    this.#warn = warn;
  }

  /** What all of it takes now. */
  use(): DiskUse {
    const sum: DiskUse = { bytes: 0, inodes: 0, pendingBytes: 0 };
    for (const tree of this.#open) {
      const { bytes, inodes, pendingBytes } = tree.use();
      sum.bytes += bytes;
      sum.inodes += inodes;
      sum.pendingBytes += pendingBytes;
    }
    return sum;
  }

  /** All or, after `close`, nothing. `data` is the sandbox's own directory. */
  async open(request: CreateRequest, data: string): Promise<void> {
    const { scratch, upperDir } = request;
    const upper =
      scratch === undefined || upperDir !== undefined ? undefined : this.#keep(this.#disks.openUpper(data, scratch));
    const sources = request.mounts.map((mount) => this.#source(mount));
    // All of them end before the first that failed is told of: none may be left open behind its back.
    const ends = await Promise.allSettled([...sources, ...(upper === undefined ? [] : [upper])]);
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    this.sources = await Promise.all(sources);
    const tree = await upper;
    this.upperParent = tree === undefined ? {} : { upperParent: tree.source };
  }

  async #keep(opening: Promise<OpenTree>): Promise<OpenTree> {
    const tree = await opening;
    this.#open.push(tree);
    return tree;
  }

  async #source({ source, volume }: MountRequest): Promise<string> {
    if (volume === undefined) return source;
    const { bytes, inodes, subPath } = volume;
    const tree = await this.#keep(this.#disks.openVolume(source, { bytes, inodes }));
    if (subPath === undefined) return tree.source;
    try {
      return subdirectoryOf(tree.source, subPath);
    } catch (error) {
      if (error instanceof SubdirectoryError) throw new KeeperError("precondition", error.message);
      throw error;
    }
  }

  /** Each is closed, whatever becomes of the others; what the kernel says to it changes nothing, and is told. */
  async close(): Promise<void> {
    const trees = this.#open;
    this.#open = [];
    const ends = await Promise.allSettled(trees.map((tree) => tree.close()));
    for (const end of ends) {
      if (end.status === "rejected") this.#warn(`A disk of the sandbox could not be let go of: ${String(end.reason)}`);
    }
  }
}
