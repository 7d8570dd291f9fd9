import type { Socket } from "node:net";
import { FrameTooLargeError } from "@holdfast/std";
import { inWords, KeeperError } from "./keeper-error.ts";
import { encodeFrame, FrameDecoder, type KeeperEvent, type Reply, type Request } from "./protocol.ts";

/** What may wait for an engine that does not read; beyond it events are gathered and no further request is taken. */
const HIGH_WATER_BYTES = 1024 * 1024;

export interface ConnectionOptions {
  handle(request: Request, payload: Uint8Array): Promise<unknown>;
  warn(message: string): void;
}

/**
 * One engine. Whatever it sends, and however slowly it reads, costs only itself: a frame that makes no sense ends this
 * connection, one that is too large is answered with an error, and an engine that was stopped finds one event for each
 * process that changed meanwhile.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  /** The last event of each process or sandbox that the engine has not been told of. */
  readonly #untold = new Map<string, KeeperEvent>();
  #flushing = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    const decoder = new FrameDecoder<Request & { id: number }>();
    socket.on("data", (chunk) => this.#receive(decoder, chunk));
    socket.on("drain", () => {
      this.#flush();
      if (!this.#isFull) socket.resume();
    });
    socket.on("error", () => {
      // An engine that died: its connection closes, nothing else changes.
    });
  }

  get #isFull(): boolean {
    return this.#socket.writableLength > HIGH_WATER_BYTES;
  }

  /** Output events of one turn of the event loop become one message per process. */
  tell(event: KeeperEvent): void {
    this.#untold.set(keyOf(event), event);
    if (event.event !== "output") this.#flush();
    else if (!this.#flushing) {
      this.#flushing = true;
      setImmediate(() => this.#flush());
    }
  }

  /** Closes after what was written. */
  end(): void {
    this.#flush();
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #flush(): void {
    this.#flushing = false;
    for (const [key, event] of this.#untold) {
      if (this.#isFull || this.#socket.destroyed) return;
      this.#untold.delete(key);
      this.#socket.write(encodeFrame(event));
    }
  }

  #receive(decoder: FrameDecoder<Request & { id: number }>, chunk: Uint8Array): void {
    try {
      for (const { header, body, refusedBytes } of decoder.push(chunk)) {
        const { id, ...request } = header;
        if (!Number.isSafeInteger(id) || typeof request.op !== "string")
          throw new Error("A request has no id or no op.");
        this.#answer(id, request as Request, { body, refusedBytes }).catch((error: unknown) => this.#cut(error));
      }
    } catch (error) {
      this.#cut(error);
      return;
    }
    if (this.#isFull) this.#socket.pause();
  }

  async #answer(
    id: number,
    request: Request,
    { body, refusedBytes }: { body: Uint8Array; refusedBytes: number | undefined },
  ): Promise<void> {
    try {
      if (refusedBytes !== undefined) {
        throw new KeeperError("invalid", `${refusedBytes} bytes at once are more than the keeper takes; send less.`);
      }
      this.#reply({ id, result: await this.#options.handle(request, body) });
    } catch (error) {
      const known = error instanceof KeeperError;
      if (!known) this.#options.warn(`${request.op} failed: ${describe(error)}`);
      const { code, message } = inWords(error, request.op);
      this.#reply({ id, error: { code: error instanceof FrameTooLargeError ? "resource_exhausted" : code, message } });
    }
  }

  #reply(reply: Reply): void {
    const frame = encodeFrame(reply);
    if (!this.#socket.destroyed) this.#socket.write(frame);
  }

  #cut(error: unknown): void {
    this.#options.warn(`A client was cut off: ${String(error)}`);
    this.#socket.destroy();
  }
}

function keyOf(event: KeeperEvent): string {
  return event.event === "sandbox" ? event.sandboxId : `${event.event}/${event.sandboxId}/${event.execId}`;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
