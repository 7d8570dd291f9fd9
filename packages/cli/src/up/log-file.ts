import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

/**
 * A log that never hurts whom it tells about: it is cut to two files of `maxBytes` (`path` and `path.1`), and a line
 * that cannot be written, because the disk is full or the file gone, is dropped and counted.
 */
export class LogFile implements Disposable {
  readonly #path: string;
  readonly #maxBytes: number;
  #file: number | undefined;
  #size = 0;
  #dropped = 0;

  constructor(path: string, { maxBytes = 16 * 1024 * 1024 }: { maxBytes?: number } = {}) {
    this.#path = path;
    this.#maxBytes = maxBytes;
  }

  write(line: string): void {
    try {
      const told = this.#dropped === 0 ? "" : `{"level":40,"msg":"${this.#dropped} lines could not be written here"}\n`;
      const bytes = Buffer.from(`${told}${line}\n`);
      writeAll(this.#open(bytes.length), bytes);
      this.#size += bytes.length;
      this.#dropped = 0;
    } catch {
      this.#dropped += 1;
    }
  }

  #open(more: number): number {
    if (this.#file !== undefined && this.#size > 0 && this.#size + more > this.#maxBytes) {
      this[Symbol.dispose]();
      renameSync(this.#path, `${this.#path}.1`);
    }
    if (this.#file === undefined) {
      this.#file = openSync(this.#path, "a", 0o600);
      this.#size = fstatSync(this.#file).size;
    }
    return this.#file;
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** On a disk that is nearly full the kernel takes a part. */
function writeAll(file: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
}
