import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { Connection, type ConnectionOptions } from "./connection.ts";
import type { KeeperEvent } from "./protocol.ts";

const CLOSE_TIMEOUT_MS = 2_000;

export interface KeeperServerOptions extends ConnectionOptions {
  socketPath: string;
}

/** The Unix socket: answers requests, tells every connected engine what happened. */
export class KeeperServer {
  readonly #options: KeeperServerOptions;
  readonly #server: Server;
  readonly #clients = new Set<Connection>();

  constructor(options: KeeperServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async listen(): Promise<void> {
    // A connection that could not be taken (no descriptor left): its client tries again.
    this.#server.on("error", (error) => this.#options.warn(`The keeper's socket: ${String(error)}`));
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.socketPath, resolve);
    });
    chmodSync(this.#options.socketPath, 0o600);
  }

  emit(event: KeeperEvent): void {
    for (const client of this.#clients) client.tell(event);
  }

  /** Stops listening; open connections end after what was written to them, or are cut when they do not. */
  close(onClosed: () => void): void {
    this.#server.close(onClosed);
    for (const client of this.#clients) client.end();
    setTimeout(() => {
      for (const client of this.#clients) client.destroy();
    }, CLOSE_TIMEOUT_MS);
  }

  #serve(socket: Socket): void {
    const client = new Connection(socket, this.#options);
    this.#clients.add(client);
    socket.on("close", () => this.#clients.delete(client));
  }
}
