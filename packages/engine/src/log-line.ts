import { fstatSync, ftruncateSync, writeSync } from "node:fs";

/** A pipe whose reader is slow is tried this often before the line is dropped. */
const busyAttempts = 50;

export interface LineLogOptions {
  /** When the file is larger, it begins anew; without it, it is somebody else's to bound. */
  maxBytes?: number;
}

/**
 * A log that never fails whoever writes it: a line that cannot be written (a full disk, a reader that is gone) is
 * dropped and counted, and the count stands before the next line that can.
 */
export class LineLog {
  /** Lines lost since the process started. */
  dropped = 0;
  readonly #fd: number;
  readonly #maxBytes: number | undefined;
  #untold = 0;

  constructor(fd: number, options: LineLogOptions = {}) {
    this.#fd = fd;
    this.#maxBytes = options.maxBytes;
  }

  /** `line` without its end. */
  write(line: string): void {
    try {
      this.#bound();
      if (this.#untold > 0) {
        this.#put(`${JSON.stringify({ level: "warn", msg: `${this.#untold} lines before this one were lost` })}\n`);
        this.#untold = 0;
      }
      this.#put(`${line}\n`);
    } catch {
      // There is nowhere to tell it but here, later.
      this.dropped += 1;
      this.#untold += 1;
    }
  }

  #bound(): void {
    if (this.#maxBytes === undefined) return;
    const stat = fstatSync(this.#fd);
    if (stat.isFile() && stat.size > this.#maxBytes) ftruncateSync(this.#fd);
  }

  #put(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    let attempts = 0;
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(this.#fd, bytes, done);
      } catch (error) {
        const busy = error instanceof Error && "code" in error && error.code === "EAGAIN";
        attempts += 1;
        if (!busy || attempts > busyAttempts) throw error;
      }
    }
  }
}
