import { closeSync, mkdirSync, openSync, readdirSync, readSync, statSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Segment, Segments } from "@holdfast/std";
import { errnoOf } from "../failure.ts";

/** A stream of bytes in files of this size each, so that what is committed can be given back to the disk. */
export const segmentBytes = 8 * 1024 * 1024;

/**
 * One output of one process: append at the end, read at any offset that has not been dropped. Segments are named
 * `stdout.0`, `stdout.8388608`… after their first byte. Writes are synchronous: the kernel's page cache takes them in
 * microseconds, and what a reader is told of is then in the file, whatever becomes of this process.
 */
export class Spool {
  readonly #folder: string;
  readonly #name: string;
  readonly #segments: Segments;
  #writer: number | undefined;
  #reader: { start: number; descriptor: number } | undefined;

  constructor(folder: string, name: "stdout" | "stderr") {
    this.#folder = folder;
    this.#name = name;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const found: Segment[] = [];
    for (const file of readdirSync(folder)) {
      const start = new RegExp(`^${name}\\.(\\d+)$`).exec(file)?.[1];
      if (start === undefined) continue;
      const size = statSync(join(folder, file)).size;
      found.push({ start: Number(start), end: Number(start) + size });
    }
    this.#segments = new Segments(found);
  }

  /** Bytes since the process's start. */
  get end(): number {
    return this.#segments.end;
  }

  /** Offset of the first byte that is still there. */
  get start(): number {
    return this.#segments.start;
  }

  /** Throws with `ENOSPC` when the disk is full; what did fit then counts. */
  append(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const segment = this.#writable();
      const size = Math.min(chunk.length - at, segmentBytes - (segment.end - segment.start));
      const written = writeSync(this.#writer ?? -1, chunk, at, size);
      this.#segments.grow(written);
      at += written;
    }
  }

  /** Reads into `target` from `offset`; 0 at the end. Throws a RangeError for bytes that are not there (any more). */
  read(offset: number, target: Uint8Array): number {
    if (offset === this.end) return 0;
    const segment = this.#segments.find(offset);
    if (segment === undefined) {
      throw new RangeError(`${this.#name} holds bytes ${this.start} to ${this.end}, not offset ${offset}`);
    }
    if (this.#reader?.start !== segment.start) {
      this.#closeReader();
      this.#reader = { start: segment.start, descriptor: openSync(this.#path(segment.start), "r") };
    }
    const size = Math.min(target.length, segment.end - offset);
    return readSync(this.#reader.descriptor, target, 0, size, offset - segment.start);
  }

  /** Gives back whole segments below `offset`; the last one stays. */
  drop(offset: number): void {
    for (const { start } of this.#segments.dropBelow(offset)) {
      if (this.#reader?.start === start) this.#closeReader();
      unlinkSync(this.#path(start));
    }
  }

  close(): void {
    this.#closeReader();
    if (this.#writer !== undefined) closeSync(this.#writer);
    this.#writer = undefined;
  }

  #writable(): Segment {
    const { last } = this.#segments;
    if (last !== undefined && last.end - last.start < segmentBytes && this.#writer !== undefined) return last;
    if (this.#writer !== undefined) closeSync(this.#writer);
    this.#writer = undefined;
    this.#writer = openSync(this.#path(this.end), "a", 0o600);
    // A restart may have left an empty one of this name.
    return last?.start === this.end ? last : this.#segments.begin();
  }

  #closeReader(): void {
    if (this.#reader !== undefined) closeSync(this.#reader.descriptor);
    this.#reader = undefined;
  }

  #path(start: number): string {
    return join(this.#folder, `${this.#name}.${start}`);
  }
}

/** Whether this is a full disk (or a full quota, or a file at its largest size). */
export function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EFBIG"].includes(errnoOf(error) ?? "");
}
