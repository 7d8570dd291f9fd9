import type { Socket } from "node:net";
import type { CompiledPolicy } from "./policy.ts";
import type { Service } from "./protocol.ts";

/** By what right a connection exists; asked again whenever policy or services change. */
export type Claim =
  /** Not decided yet: whoever decides will look at the policy then. */
  | { kind: "pending" }
  | { kind: "service"; name: string; port: number }
  | { kind: "address"; address: string }
  | { kind: "name"; name: string }
  /** DNS over TCP: each question is decided by itself. */
  | { kind: "dns" };

/** One connection of a sandbox. */
export class Connection {
  readonly client: Socket;
  /** `address:port` as the sandbox dialled it. */
  readonly destination: string;
  claim: Claim = { kind: "pending" };
  #upstream: Socket | undefined;
  readonly #gone = new AbortController();
  readonly #onOver: (connection: Connection) => void;

  /** `onOver` is called once, when both sides are closed. */
  constructor(client: Socket, destination: string, onOver: (connection: Connection) => void) {
    this.client = client;
    this.destination = destination;
    this.#onOver = onOver;
    // 'close' follows and says the same.
    client.on("error", () => {});
    client.on("close", () => {
      this.#gone.abort();
      const upstream = this.#upstream;
      if (upstream === undefined || upstream.closed) onOver(this);
      else endOther(client, upstream);
    });
  }

  /** Aborts when the sandbox's side is over. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Ends both sides at once. */
  reset(): void {
    this.#gone.abort();
    this.client.resetAndDestroy();
    this.#upstream?.resetAndDestroy();
  }

  stillAllowed(policy: CompiledPolicy, services: Service[]): boolean {
    const { claim } = this;
    switch (claim.kind) {
      case "pending":
      case "dns":
        return true;
      case "service":
        return policy.allowsName(claim.name) && services.some((s) => s.name === claim.name && s.port === claim.port);
      case "address":
        return policy.allowsAddress(claim.address);
      case "name":
        return policy.allowsName(claim.name);
    }
  }

  /** Passes bytes both ways, each direction ending by itself, until both are over. */
  splice(upstream: Socket, head: Buffer): void {
    const { client } = this;
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      // Finds peers that vanished without a word; says nothing about how long a connection may be silent.
      socket.setKeepAlive(true, 60_000);
    }
    this.#upstream = upstream;
    upstream.on("close", () => {
      if (client.closed) this.#onOver(this);
      else endOther(upstream, client);
    });
    if (head.length > 0) upstream.write(head);
    client.pipe(upstream);
    upstream.pipe(client);
  }
}

/** One side is gone: the other follows, unless it only has to finish sending what both sides agreed to end with. */
function endOther(gone: Socket, other: Socket): void {
  const finished = gone.readableEnded && gone.writableFinished;
  if (!finished && !other.destroyed) other.resetAndDestroy();
}
