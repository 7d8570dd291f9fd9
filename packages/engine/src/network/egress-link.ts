import { closeSync, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import {
  controlSocket,
  type EgressMessage,
  type EgressMethod,
  type EgressMethods,
  type Refusal,
} from "./egress/protocol.ts";

/** Egress answers without waiting for anything; one that does not in this time hangs. */
const replyMs = 5_000;

interface Pending {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

/** One connection to a running egress. */
export class EgressLink {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket, onRefusal: (refusal: Refusal) => void) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("close", () => this.#fail());
    // 'close' follows.
    socket.on("error", () => {});
    const lines = createInterface({ input: socket });
    // Repeats the socket's errors.
    lines.on("error", () => {});
    lines.on("line", (line) => {
      const message = JSON.parse(line) as EgressMessage;
      if ("event" in message) onRefusal(message.refusal);
      else this.#settle(message);
    });
  }

  /** Connects to the egress of a directory; throws when none listens. */
  static async connect(directory: string, onRefusal: (refusal: Refusal) => void): Promise<EgressLink> {
    const directoryFd = openSync(directory, "r");
    try {
      const socket = connect(controlSocket(directoryFd));
      await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
      return new EgressLink(socket, onRefusal);
    } finally {
      closeSync(directoryFd);
    }
  }

  async request<M extends EgressMethod>(
    method: M,
    params: EgressMethods[M]["params"],
  ): Promise<EgressMethods[M]["result"]> {
    if (!this.#socket.writable) throw new Error("The connection to egress is closed.");
    const id = this.#nextId++;
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new Error(`Egress did not answer ${method} within ${replyMs} ms.`));
      }, replyMs);
      this.#pending.set(id, { resolve: resolve as Pending["resolve"], reject, timer });
      this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  get isOpen(): boolean {
    return this.#socket.writable;
  }

  close(): void {
    this.#socket.destroy();
  }

  #settle(message: Exclude<EgressMessage, { event: string }>): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    this.#pending.delete(message.id);
    clearTimeout(pending.timer);
    if ("error" in message) pending.reject(new Error(message.error));
    else pending.resolve(message.result);
  }

  #fail(): void {
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new Error("Egress ended before it answered."));
    }
    this.#pending.clear();
  }
}
