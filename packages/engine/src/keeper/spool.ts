import { closeSync, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { readableBytes } from "./syscalls.ts";

/** No output of one process may fill the machine's disk. */
const SPOOL_LIMIT_BYTES = 4 * 1024 ** 3;

/** All pipes are read into one buffer: what comes is written on at once, before anything else can be read. */
const PIPE_BUFFER = Buffer.alloc(64 * 1024);

/**
 * One output stream in one file. Writes are synchronous into the page cache: order is kept, memory is bounded, and a
 * slow reader of the spool never slows the process. What cannot be written is counted, never silently dropped.
 */
export class Spool {
  bytes = 0;
  lostBytes = 0;
  ended = false;
  #fd: number | undefined;
  #source: Readable | undefined;
  #sourceFd: number | undefined;
  readonly #onChange: () => void;

  constructor(path: string, onChange: () => void) {
    this.#fd = openSync(path, "a", 0o600);
    this.#onChange = onChange;
  }

  /** Reads the pipe `fd`, and owns it, until it ends. */
  followPipe(fd: number): void {
    const callback = (bytes: number, buffer: Uint8Array): boolean => {
      this.#append(buffer.subarray(0, bytes));
      return true;
    };
    this.#follow(new Socket({ fd, readable: true, writable: false, onread: { buffer: PIPE_BUFFER, callback } }), fd);
  }

  /** Reads `terminal`, whose descriptor is `fd`, until it ends. */
  followTerminal(terminal: Readable, fd: number): void {
    terminal.on("data", (chunk: Buffer) => this.#append(chunk));
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
    const fd = this.#fd;
    this.#fd = undefined;
    try {
      if (fd !== undefined) closeSync(fd);
    } catch {
      // It is closed all the same; what was written was counted when it was.
    }
    this.#onChange();
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

  #append(chunk: Uint8Array): void {
    if (this.ended) return;
    if (this.#fd === undefined) {
      this.lostBytes += chunk.length;
      return;
    }
    const before = this.bytes;
    try {
      if (this.bytes + chunk.length > SPOOL_LIMIT_BYTES) throw new Error("spool limit");
      for (let done = 0; done < chunk.length; ) {
        const written = writeSync(this.#fd, chunk, done);
        done += written;
        this.bytes += written;
      }
    } catch {
      // Full disk or limit: the count is what readers are told at the end. Once a gap exists nothing may follow it.
      this.lostBytes += chunk.length - (this.bytes - before);
      closeSync(this.#fd);
      this.#fd = undefined;
    }
    this.#onChange();
  }
}
