import { EventEmitter } from "node:events";
import { connect, type Socket } from "node:net";
import { FrameTooLargeError } from "@holdfast/std";
import {
  encodeFrame,
  FrameDecoder,
  type HelloResult,
  type KeeperEvent,
  OLDEST_KEEPER_VERSION,
  type OutputLimits,
  PROTOCOL_VERSION,
  type Reply,
  type Request,
} from "../keeper/protocol.ts";
import { RuntimeError } from "./types.ts";

const HELLO_TIMEOUT_MS = 5_000;

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** Channel names of `KeeperClient.events`; a lost connection fires `close` on every waiter. */
export function execChannel(sandboxId: string, execId: string): string {
  return `exec:${sandboxId}/${execId}`;
}

export function sandboxChannel(sandboxId: string): string {
  return `sandbox:${sandboxId}`;
}

/** One connection to a keeper. When it is lost, every pending request fails with `unavailable`. */
export class KeeperClient {
  readonly events = new EventEmitter().setMaxListeners(0);
  hello: HelloResult = { version: 0, pid: 0, runtime: "" };
  closed = false;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const decoder = new FrameDecoder<Reply | KeeperEvent>();
    socket.on("data", (chunk) => {
      try {
        for (const { header } of decoder.push(chunk)) this.#receive(header);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined);
      }
    });
    socket.on("error", () => {
      // `close` follows and tells everyone.
    });
    socket.on("close", () => this.#lost());
  }

  /** Fails with the socket's own error (ENOENT, ECONNREFUSED) when no keeper listens. */
  static async connect(socketPath: string, output?: OutputLimits): Promise<KeeperClient> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const client = new KeeperClient(socket);
    const timer = setTimeout(() => socket.destroy(), HELLO_TIMEOUT_MS);
    try {
      client.hello = await client.request<HelloResult>({
        op: "hello",
        version: PROTOCOL_VERSION,
        ...(output ? { output } : {}),
      });
    } finally {
      clearTimeout(timer);
    }
    if (client.hello.version < OLDEST_KEEPER_VERSION) {
      client.close();
      throw new RuntimeError(
        "unavailable",
        `The running keeper speaks version ${client.hello.version}, which this engine no longer understands. Stop its sandboxes with the release that started it.`,
      );
    }
    return client;
  }

  /** Rejects with `invalid` when the request is larger than a frame may be; the connection is as good as before. */
  request<T>(request: Request, payload?: Uint8Array): Promise<T> {
    if (this.closed) return Promise.reject(new ConnectionLostError());
    const id = this.#nextId++;
    let frame: Uint8Array;
    try {
      frame = encodeFrame({ ...request, id }, payload);
    } catch (error) {
      // Only this request's fault: the connection is everybody's.
      return Promise.reject(error instanceof FrameTooLargeError ? tooLarge(error) : error);
    }
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(id, { resolve: (result) => resolve(result as T), reject });
      this.#socket.write(frame);
    });
  }

  /** Resolves when the keeper has closed the connection, at the latest after `timeoutMs`. */
  closes(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.events.once("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Lets go of the keeper; it and its sandboxes live on. */
  close(): void {
    this.#socket.destroy();
    this.#lost();
  }

  #receive(message: Reply | KeeperEvent): void {
    if ("event" in message) {
      if (message.event === "sandbox") this.events.emit(sandboxChannel(message.sandboxId));
      else this.events.emit(execChannel(message.sandboxId, message.execId));
      return;
    }
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if ("error" in message) pending?.reject(new RuntimeError(message.error.code, message.error.message));
    else pending?.resolve(message.result);
  }

  #lost(): void {
    if (this.closed) return;
    this.closed = true;
    for (const { reject } of this.#pending.values()) reject(new ConnectionLostError());
    this.#pending.clear();
    this.events.emit("close");
  }
}

function tooLarge(error: FrameTooLargeError): RuntimeError {
  return new RuntimeError("invalid", `The request is too large: ${error.message}.`, { cause: error });
}

/** What was asked may have been done or not. */
export class ConnectionLostError extends RuntimeError {
  constructor() {
    super("unavailable", "The connection to the keeper was lost.");
  }
}
