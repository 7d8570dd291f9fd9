import { closeSync, fstatSync, openSync, readSync, writeFileSync, writeSync } from "node:fs";

/** Holds the end's offset, in front of the bytes. */
const headerBytes = 8;

/**
 * The last bytes of a stream, in a file of a fixed size that is written in full when it is made: whatever becomes of the
 * disk, there is room. The end's offset is written after the bytes: what a reader was told of survives this program.
 */
export class Ring {
  readonly sizeBytes: number;
  readonly #descriptor: number;
  #end: number;
  #isClosed = false;

  static create(path: string, sizeBytes: number): Ring {
    writeFileSync(path, new Uint8Array(headerBytes + sizeBytes), { mode: 0o600 });
    return new Ring(path);
  }

  constructor(path: string) {
    this.#descriptor = openSync(path, "r+");
    this.sizeBytes = fstatSync(this.#descriptor).size - headerBytes;
    const header = Buffer.alloc(headerBytes);
    readSync(this.#descriptor, header, 0, headerBytes, 0);
    this.#end = Number(header.readBigUInt64BE());
  }

  /** Bytes since the stream began. */
  get end(): number {
    return this.#end;
  }

  /** Offset of the first byte that is still there. */
  get start(): number {
    return Math.max(0, this.#end - this.sizeBytes);
  }

  append(chunk: Uint8Array): void {
    const kept = chunk.subarray(Math.max(0, chunk.length - this.sizeBytes));
    let at = this.#end + chunk.length - kept.length;
    for (let done = 0; done < kept.length; ) {
      const place = at % this.sizeBytes;
      const size = Math.min(kept.length - done, this.sizeBytes - place);
      const written = writeSync(this.#descriptor, kept, done, size, headerBytes + place);
      done += written;
      at += written;
    }
    const header = Buffer.alloc(headerBytes);
    header.writeBigUInt64BE(BigInt(at));
    writeSync(this.#descriptor, header, 0, headerBytes, 0);
    this.#end = at;
  }

  /** Reads into `target` from `offset`, which must be within `start` and `end`; 0 at the end, and when it is closed. */
  read(offset: number, target: Uint8Array): number {
    const place = offset % this.sizeBytes;
    const size = Math.min(target.length, this.#end - offset, this.sizeBytes - place);
    return size <= 0 || this.#isClosed ? 0 : readSync(this.#descriptor, target, 0, size, headerBytes + place);
  }

  close(): void {
    this.#isClosed = true;
    closeSync(this.#descriptor);
  }
}
