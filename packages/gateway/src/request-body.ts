import type { IncomingMessage } from "node:http";

export class BodyTooLargeError extends Error {
  override name = "BodyTooLargeError";
}
export class BufferFullError extends Error {
  override name = "BufferFullError";
}

/** Keeps the request bodies in memory within one budget. */
export class BodyReader {
  readonly #maxBodyBytes: number;
  readonly #maxBufferedBytes: number;
  #buffered = 0;

  constructor(limits: { maxBodyBytes: number; maxBufferedBytes: number }) {
    this.#maxBodyBytes = limits.maxBodyBytes;
    this.#maxBufferedBytes = limits.maxBufferedBytes;
  }

  /**
   * Reads a body and hands it to `use`; the bytes count against the budget until `use` is done. Throws
   * `BodyTooLargeError` or `BufferFullError`; what the client still sends is then thrown away.
   */
  async withBody<T>(req: IncomingMessage, use: (body: Buffer) => Promise<T>): Promise<T> {
    let size = 0;
    try {
      const chunks: Buffer[] = [];
      if (Number(req.headers["content-length"] ?? 0) > this.#maxBodyBytes) throw this.#tooLarge();
      // `return()` of a stream's own iterator would destroy the socket before the error is sent.
      for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        size += chunk.length;
        this.#buffered += chunk.length;
        if (size > this.#maxBodyBytes) throw this.#tooLarge();
        if (this.#buffered > this.#maxBufferedBytes) throw new BufferFullError("too many request bodies at once");
        chunks.push(chunk);
      }
      return await use(Buffer.concat(chunks));
    } finally {
      this.#buffered -= size;
      if (!req.complete) this.#discard(req);
    }
  }

  #tooLarge(): BodyTooLargeError {
    return new BodyTooLargeError(`the request body is larger than ${this.#maxBodyBytes} bytes`);
  }

  /** Closing at once would reset the connection and lose the error; so a bounded rest is read and dropped. */
  #discard(req: IncomingMessage): void {
    let left = this.#maxBodyBytes;
    req.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) req.destroy();
    });
    req.resume();
  }
}
