import { cutIntoPieces } from "@holdfast/std";
import { RuntimeError } from "./types.ts";

/** Sends one piece; resolves when the process has taken it, or little enough waits for it. */
export type SendPiece = (offset: number, piece: Uint8Array, eof: boolean) => Promise<unknown>;

/**
 * Input on its way to processes that may read slowly: in pieces, each sent when the one before was taken, so that
 * neither the keeper nor its socket holds more than one of a writer. Writers to the same process wait for each other.
 */
export class StdinWriter {
  /** By process: settles when nothing of the last writer is under way. */
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Writers that have not ended. */
  get waiting(): number {
    return this.#tails.size;
  }

  /** An abort gives up what was not sent; what is under way may still arrive. */
  async write(
    target: { sandboxId: string; execId: string; offset: number; eof: boolean },
    data: Uint8Array,
    { signal, send }: { signal?: AbortSignal; send: SendPiece },
  ): Promise<void> {
    const key = `${target.sandboxId}/${target.execId}`;
    const before = this.#tails.get(key) ?? Promise.resolve();
    const own = Promise.withResolvers<void>();
    this.#tails.set(key, own.promise);
    let underWay: Promise<unknown> = before;
    let { offset } = target;
    const end = offset + data.length;
    try {
      await unlessAborted(before, signal);
      for (const piece of cutIntoPieces(data)) {
        underWay = send(offset, piece, target.eof && offset + piece.length === end);
        await unlessAborted(underWay, signal);
        offset += piece.length;
      }
    } catch (error) {
      // It ended in the middle of what its writer sent as one: what it did not read was never promised to arrive.
      const taken = offset > target.offset && error instanceof RuntimeError && error.code === "not_running";
      if (!taken) throw error;
    } finally {
      const done = () => {
        own.resolve();
        if (this.#tails.get(key) === own.promise) this.#tails.delete(key);
      };
      underWay.then(done, done);
    }
  }
}

async function unlessAborted(promise: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) {
    await promise;
    return;
  }
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
