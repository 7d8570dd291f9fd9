import { type FileHandle, open, unlink } from "node:fs/promises";

const FLUSH_BYTES = 512 * 1024;

/**
 * A temporary file that becomes an object by rename. Small chunks are gathered, so a small object costs one write.
 * Disposing removes the file unless it was committed.
 */
export class Sink implements AsyncDisposable {
  readonly path: string;
  readonly #handle: FileHandle;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #sizeBytes = 0;
  #closed = false;
  #committed = false;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /** Creates the file; it must not exist. */
  static async create(path: string): Promise<Sink> {
    return new Sink(path, await open(path, "wx", 0o600));
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Takes the chunk, which is the sink's from now on; returns a promise only when it is worth waiting for. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    this.#sizeBytes += chunk.length;
    return this.#pendingBytes >= FLUSH_BYTES ? this.#flush() : undefined;
  }

  async #flush(): Promise<void> {
    const written = this.#pending;
    let buffers = written;
    this.#pending = [];
    this.#pendingBytes = 0;
    while (buffers.length > 0) {
      const { bytesWritten } = await this.#handle.writev(buffers);
      buffers = dropBytes(buffers, bytesWritten);
    }
    written.forEach(release);
  }

  /** Writes what is left, makes the data durable, closes. The file is then ready to be renamed. */
  async seal(options: { readonly durable: boolean }): Promise<void> {
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
    if (!this.#closed) {
      this.#closed = true;
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
