import { statfs } from "node:fs/promises";
import { Fault } from "../faults.ts";

const gib = 1024 ** 3;
const mib = (bytes: number) => `${Math.max(0, Math.floor(bytes / 1024 ** 2))} MiB`;

/**
 * What uploads leave free unless the operator says otherwise: 1 GiB or 2.5 % of the disk, of a small one an eighth.
 * Less than what the engine keeps for running sandboxes on the same disk: what they did can still be saved.
 */
export function defaultKeepFree(totalBytes: number): number {
  return Math.min(Math.max(gib, totalBytes * 0.025), totalBytes / 8);
}

/** Room that an upload was promised; given back when it is disposed of. */
export interface HeldRoom extends Disposable {
  /** So much of it is on the disk by now. */
  wrote(bytes: number): void;
}

/**
 * Refuses uploads that would leave less than the floor free, before their body is asked for: who shares the disk (the
 * database, sandboxes, the gateway) goes on. All uploads under way count, with what they have announced and not sent.
 */
export class DiskFloor {
  readonly #directory: string;
  readonly #keepFreeBytes: number | undefined;
  #promisedBytes = 0;

  /** `keepFreeBytes`: 0 keeps nothing. */
  constructor(options: { directory: string; keepFreeBytes?: number | undefined }) {
    this.#directory = options.directory;
    this.#keepFreeBytes = options.keepFreeBytes;
  }

  /** What is promised to uploads and not written yet. */
  get promisedBytes(): number {
    return this.#promisedBytes;
  }

  /** @throws Fault InsufficientStorage */
  async hold(bytes: number): Promise<HeldRoom> {
    const { bavail, blocks, bsize } = await statfs(this.#directory);
    const kept = this.#keepFreeBytes ?? defaultKeepFree(blocks * bsize);
    const free = bavail * bsize - this.#promisedBytes;
    if (kept > 0 && free - bytes < kept) {
      throw new Fault("InsufficientStorage", {
        message: `The server's disk is nearly full: ${mib(free)} free, ${mib(kept)} are kept, and this takes ${mib(bytes)}. Nothing was stored; free space and send it again.`,
      });
    }
    let left = bytes;
    this.#promisedBytes += left;
    const wrote = (count: number) => {
      const taken = Math.min(count, left);
      left -= taken;
      this.#promisedBytes -= taken;
    };
    return { wrote, [Symbol.dispose]: () => wrote(left) };
  }
}
