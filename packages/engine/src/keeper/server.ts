import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { KeeperError } from "./keeper-error.ts";
import { encodeFrame, FrameDecoder, type KeeperEvent, type Reply, type Request } from "./protocol.ts";

const CLOSE_TIMEOUT_MS = 2_000;

export interface KeeperServerOptions {
  socketPath: string;
  handle(request: Request, payload: Uint8Array): Promise<unknown>;
  warn(message: string): void;
}

/** The Unix socket: answers requests, tells every connected engine what happened. */
export class KeeperServer {
  readonly #options: KeeperServerOptions;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  /** Output events of one turn of the event loop become one message per process. */
  readonly #dirty = new Map<string, KeeperEvent>();

  constructor(options: KeeperServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.socketPath, resolve);
    });
    chmodSync(this.#options.socketPath, 0o600);
  }

  emit(event: KeeperEvent): void {
    if (event.event !== "output") {
      this.#broadcast(event);
      return;
    }
    if (this.#dirty.size === 0) setImmediate(() => this.#flush());
    this.#dirty.set(`${event.sandboxId}/${event.execId}`, event);
  }

  /** Stops listening; open connections end after what was written to them, or are cut when they do not. */
  close(onClosed: () => void): void {
    this.#server.close(onClosed);
    for (const client of this.#clients) client.end();
    setTimeout(() => {
      for (const client of this.#clients) client.destroy();
    }, CLOSE_TIMEOUT_MS);
  }

  #flush(): void {
    const events = [...this.#dirty.values()];
    this.#dirty.clear();
    for (const event of events) this.#broadcast(event);
  }

  #broadcast(event: KeeperEvent): void {
    if (this.#clients.size === 0) return;
    const frame = encodeFrame(event);
    for (const client of this.#clients) client.write(frame);
  }

  #serve(socket: Socket): void {
    const decoder = new FrameDecoder();
    this.#clients.add(socket);
    socket.on("close", () => this.#clients.delete(socket));
    socket.on("error", () => {
      // An engine that died: its connection closes, nothing else changes.
    });
    socket.on("data", (chunk) => {
      try {
        for (const { header, payload } of decoder.push(chunk)) void this.#answer(socket, header, payload);
      } catch (error) {
        this.#options.warn(`A client was cut off: ${String(error)}`);
        socket.destroy();
      }
    });
  }

  async #answer(socket: Socket, header: unknown, payload: Uint8Array): Promise<void> {
    const { id, ...request } = header as Request & { id: number };
    let reply: Reply;
    try {
      reply = { id, result: await this.#options.handle(request as Request, payload) };
    } catch (error) {
      if (!(error instanceof KeeperError)) this.#options.warn(`${request.op} failed: ${describe(error)}`);
      const code = error instanceof KeeperError ? error.code : "unavailable";
      reply = { id, error: { code, message: error instanceof Error ? error.message : String(error) } };
    }
    if (!socket.destroyed) socket.write(encodeFrame(reply));
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
