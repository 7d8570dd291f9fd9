import type { FileHandle } from "node:fs/promises";
import { unlink } from "node:fs/promises";
import type { HeldRoom } from "./disk-floor.ts";
import { type FileCalls, realFiles } from "./files.ts";

const FLUSH_BYTES = 512 * 1024;

/**
 * A temporary file that becomes an object by rename. Small chunks are gathered, so a small object costs one write.
 * Writes go to the file one after another, whoever waits for them; one that failed fails `seal`. Disposing removes the
 * file unless it was committed.
 */
export class Sink implements AsyncDisposable {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #room: HeldRoom | undefined;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #sizeBytes = 0;
  /** Of the last write begun: rejects from the first failure on. */
  #written: Promise<void> = Promise.resolve();
  #closed = false;
  #committed = false;

  private constructor(path: string, handle: FileHandle, room: HeldRoom | undefined) {
    this.path = path;
    this.#handle = handle;
    this.#room = room;
  }

  /** Creates the file; it must not exist. The room that is held for it is the sink's from now on. */
  static async create(path: string, files: FileCalls = realFiles, room?: HeldRoom): Promise<Sink> {
    try {
      return new Sink(path, await files.open(path, "wx", 0o600), room);
    } catch (error) {
      room?.[Symbol.dispose]();
      throw error;
    }
  }

  /** Of the data; what `seal` adds does not count. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Takes the chunk, which is the sink's from now on; returns a promise only when it is worth waiting for. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#sizeBytes += chunk.length;
    this.#gather(chunk);
    return this.#pendingBytes >= FLUSH_BYTES ? this.#flush() : undefined;
  }

  #gather(chunk: Uint8Array): void {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
  }

  #flush(): Promise<void> {
    const chunks = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    const written = this.#written.then(() => this.#writeAll(chunks));
    this.#written = written;
    // Whether or not the caller waits for this write: seal() waits for it, and an upload given up needs it no more.
    written.catch(() => undefined);
    return written;
  }

  async #writeAll(chunks: Uint8Array[]): Promise<void> {
    let buffers = chunks.filter((chunk) => chunk.length > 0);
    while (buffers.length > 0) {
      const { bytesWritten } = await this.#handle.writev(buffers);
      if (bytesWritten === 0) throw Object.assign(new Error(`${this.path} takes no more data`), { code: "ENOSPC" });
      this.#room?.wrote(bytesWritten);
      buffers = dropBytes(buffers, bytesWritten);
    }
    chunks.forEach(release);
  }

  /**
   * Writes what is left and `tail` behind it, waits for every write, makes the data durable, closes. Only when this
   * has returned is the file what was given to it, ready to be renamed.
   */
  async seal(options: { readonly tail: Uint8Array; readonly durable: boolean }): Promise<void> {
    this.#gather(options.tail);
    await this.#flush();
    if (options.durable) await this.#handle.datasync();
    this.#closed = true;
    await this.#handle.close();
  }

  /** Says that the file now has another name and is not ours to remove. */
  markCommitted(): void {
    this.#committed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#room?.[Symbol.dispose]();
    if (!this.#closed) {
      this.#closed = true;
      // A write that still runs must not meet a closed descriptor, or the file that got its number next.
      await this.#written.catch(() => undefined);
      await this.#handle.close();
    }
    if (this.#committed) return;
    // A failed removal is harmless: what is left in the temporary directory is removed at the next start.
    await unlink(this.path).catch(() => undefined);
  }
}

/** Below this a chunk may come from a shared pool and is not worth the call. */
const RELEASE_BYTES = 16 * 1024;

/**
 * Frees a chunk's memory now. The collector lets some hundred megabytes of them pile up during a large upload,
 * because it counts the small objects that stand for them.
 */
function release(chunk: Uint8Array): void {
  const { buffer } = chunk;
  if (chunk.byteLength < RELEASE_BYTES || chunk.byteLength !== buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}

/** What remains of a gather list after a (possibly short) write. */
function dropBytes(buffers: Uint8Array[], count: number): Uint8Array[] {
  let left = count;
  let index = 0;
  for (; index < buffers.length; index++) {
    const length = buffers[index]?.length ?? 0;
    if (length > left) break;
    left -= length;
  }
  const rest = buffers.slice(index);
  const first = rest[0];
  if (first && left > 0) rest[0] = first.subarray(left);
  return rest;
}
