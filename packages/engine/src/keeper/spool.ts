import { closeSync, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { type Segment, Segments } from "@holdfast/std";
import type { HeldOutput, OutputBook } from "./output-ledger.ts";
import { type OutputName, segmentFile, segmentStart } from "./paths.ts";
import { readableBytes } from "./syscalls.ts";

/** All pipes are read into one buffer: what comes is written on at once, before anything else can be read. */
const PIPE_BUFFER = Buffer.alloc(64 * 1024);

export interface SpoolOptions {
  /** Of the exec; made already. */
  dir: string;
  name: OutputName;
  /** Who counts what lies on the disk. */
  book: OutputBook;
  onChange(): void;
}

/**
 * One output stream in files of a few MiB each. Writes are synchronous into the page cache: order is kept, memory is
 * bounded, and neither a slow reader nor a full budget slows the process. Over the budget the oldest files go, and a
 * reader that needed them is told; what cannot be written is counted, never silently dropped.
 */
export class Spool implements HeldOutput {
  lostBytes = 0;
  ended = false;
  readonly #options: SpoolOptions;
  readonly #segments: Segments;
  #fd: number | undefined;
  /** A write has failed: once a gap exists nothing may follow it. */
  #failed = false;
  /** Dropped before anybody began to read: readers count from here. */
  #base: number | undefined;
  #source: Readable | undefined;
  #sourceFd: number | undefined;

  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#segments = new Segments(readSegments(options.dir, options.name));
    if (this.heldBytes > 0) options.book.change(this, this.heldBytes);
  }

  /** Bytes since the process's start. */
  get bytes(): number {
    return this.#segments.end;
  }

  /** Offset of the first byte that is still there. */
  get start(): number {
    return this.#segments.start;
  }

  get heldBytes(): number {
    return this.#segments.bytes;
  }

  /** Reads the pipe `fd`, and owns it, until it ends. */
  followPipe(fd: number): void {
    const callback = (bytes: number, buffer: Uint8Array): boolean => {
      this.append(buffer.subarray(0, bytes));
      return true;
    };
    this.#follow(new Socket({ fd, readable: true, writable: false, onread: { buffer: PIPE_BUFFER, callback } }), fd);
  }

  /** Reads `terminal`, whose descriptor is `fd`, until it ends. */
  followTerminal(terminal: Readable, fd: number): void {
    terminal.on("data", (chunk: Buffer) => this.append(chunk));
    this.#follow(terminal, fd);
  }

  #follow(source: Readable, fd: number): void {
    this.#source = source;
    this.#sourceFd = fd;
    source.on("error", () => {
      // EIO is how a terminal says that nobody has it open any more; a pipe has no other errors than its end.
      this.finish();
    });
    source.on("close", () => this.finish());
    source.on("end", () => this.finish());
  }

  /** No more output counts. A background process that still holds the pipe is drained, so that it is not killed. */
  finish(): void {
    if (this.ended) return;
    this.ended = true;
    this.#sourceFd = undefined;
    this.#closeWriter();
    this.#options.onChange();
  }

  /** What the kernel still holds for us. */
  pendingBytes(): number {
    return this.#sourceFd === undefined ? 0 : readableBytes(this.#sourceFd);
  }

  /** Closes the pipe itself. */
  destroy(): void {
    this.finish();
    this.#source?.destroy();
  }

  /**
   * A client reads from `offset` on and has everything below. Offsets of a client count from the first byte that was
   * there when it began: the result is where that is.
   */
  attach(offset: number): number {
    this.#base ??= offset === 0 ? this.start : 0;
    this.acknowledge(this.#base + offset);
    return this.#base;
  }

  /** Nobody will ask for what is below `offset` again. */
  acknowledge(offset: number): void {
    for (const segment of this.#segments.dropBelow(offset)) this.#remove(segment);
  }

  dropOldest(): void {
    const segment = this.#segments.dropFirst();
    if (segment === undefined) return;
    if (this.#segments.last === undefined) this.#closeWriter();
    this.#remove(segment);
  }

  /** Its files are being removed by somebody else: they count no longer. */
  forget(): void {
    this.finish();
    for (let gone = this.#segments.dropFirst(); gone !== undefined; gone = this.#segments.dropFirst()) {
      this.#options.book.change(this, gone.start - gone.end);
    }
  }

  append(chunk: Uint8Array): void {
    if (this.ended) return;
    if (this.#failed) {
      this.lostBytes += chunk.length;
      return;
    }
    let done = 0;
    try {
      while (done < chunk.length) done += this.#write(chunk.subarray(done));
    } catch {
      // Full disk: the count is what readers are told at the end.
      this.lostBytes += chunk.length - done;
      this.#failed = true;
      this.#closeWriter();
    }
    this.#options.onChange();
  }

  #write(chunk: Uint8Array): number {
    const { dir, name, book } = this.#options;
    const { segmentBytes } = book;
    let { last } = this.#segments;
    if (this.#fd === undefined || last === undefined || last.end - last.start >= segmentBytes) {
      this.#closeWriter();
      this.#fd = openSync(join(dir, segmentFile(name, this.bytes)), "w", 0o600);
      last = this.#segments.begin();
    }
    const written = writeSync(this.#fd, chunk, 0, Math.min(chunk.length, segmentBytes - (last.end - last.start)));
    this.#segments.grow(written);
    book.change(this, written);
    return written;
  }

  #remove({ start, end }: Segment): void {
    try {
      rmSync(join(this.#options.dir, segmentFile(this.#options.name, start)), { force: true });
    } catch {
      // The disk failed: it goes with its exec, and counts no longer, as nothing more can be done about it here.
    }
    this.#options.book.change(this, start - end);
  }

  #closeWriter(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    try {
      if (fd !== undefined) closeSync(fd);
    } catch {
      // It is closed all the same; what was written was counted when it was.
    }
  }
}

function readSegments(dir: string, name: OutputName): Segment[] {
  const found: Segment[] = [];
  for (const file of readdirSync(dir)) {
    const start = segmentStart(name, file);
    const size = start === undefined ? undefined : statSync(join(dir, file), { throwIfNoEntry: false })?.size;
    if (start !== undefined && size !== undefined && size > 0) found.push({ start, end: start + size });
  }
  return found;
}
