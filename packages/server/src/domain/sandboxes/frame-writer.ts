import { cutIntoPieces } from "@holdfast/std";

/**
 * Frames on their way into an exec, one after the other, each in pieces that are sent when the one before was taken: a
 * guest that reads slowly makes its writers wait, and a large frame shows with every piece that the way is open.
 */
export class FrameWriter {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #onTaken: () => void;
  #tail: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | undefined;

  /** `onTaken`: a piece of a large frame is through. */
  constructor(options: { write: (bytes: Uint8Array) => Promise<void>; onTaken: () => void }) {
    this.#write = options.write;
    this.#onTaken = options.onTaken;
  }

  /**
   * Resolves when the frame is on its way, whole. The signal takes it back as long as none of it is sent. After a
   * failure the stream ends in the middle of a frame: every later one rejects with it.
   */
  write(frame: Uint8Array, signal?: AbortSignal): Promise<void> {
    const written = this.#tail.then(() => this.#send(frame, signal));
    this.#tail = written.catch(() => undefined);
    return written;
  }

  async #send(frame: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    signal?.throwIfAborted();
    let sent = 0;
    for (const piece of cutIntoPieces(frame)) {
      try {
        await this.#write(piece);
      } catch (error) {
        this.#failure = { error };
        throw error;
      }
      sent += piece.length;
      // The end of a frame, which a small one is as a whole, is taken by whoever holds the pipe: no sign of a reader.
      if (sent < frame.length) this.#onTaken();
    }
  }
}
