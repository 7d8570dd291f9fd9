import type { Socket } from "node:net";
import { messageOf } from "../failure.ts";
import {
  encodeFrame,
  FrameDecoder,
  type GuestMessage,
  type GuestRequest,
  guestProtocolVersion,
  type SpoolRange,
} from "../frames.ts";
import { Sealer, sealKeyBytes } from "../seal.ts";
import { Watches } from "../terminals/watches.ts";
import type { Host } from "./host.ts";
import type { HostedProcess } from "./hosted-process.ts";
import { noteBuffers } from "./memory.ts";
import { RequestError } from "./request-error.ts";
import { checkRequest, isSignal, requestIdOf } from "./requests.ts";
import { isDiskFull } from "./spool.ts";

interface Subscription {
  readonly hosted: HostedProcess;
  stdoutOffset: number;
  stderrOffset: number;
  failureTold: boolean;
}

const chunkBytes = 64 * 1024;
/** What may wait in one connection. More output stays in the spool until the reader has taken this. */
const maxQueuedBytes = 512 * 1024;
/** Shared by all: its content is copied into a frame before anything else runs. */
const chunk = new Uint8Array(chunkBytes);

type Result = Omit<Extract<GuestMessage, { type: "reply"; ok: true }>, "type" | "requestId" | "ok">;

/** One client. It never holds output in memory: what its reader has not taken is read from the spool again. */
export class Connection {
  readonly #socket: Socket;
  readonly #host: Host;
  readonly #decoder = new FrameDecoder<object>();
  readonly #subscriptions = new Map<string, Subscription>();
  /** Sessions that this client works on, with its generation. */
  readonly #fenced = new Map<string, number>();
  readonly #pump = () => this.#send();
  readonly #watches = new Watches(this.#pump);
  #sealer: Sealer | undefined;

  constructor(socket: Socket, host: Host) {
    this.#socket = socket;
    this.#host = host;
    socket.on("data", (data: Buffer) => this.#receive(data));
    socket.on("drain", () => {
      socket.resume();
      this.#send();
    });
    // A client may vanish at any time; `close` follows.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      host.connections.delete(this);
      for (const processId of [...this.#subscriptions.keys()]) this.#unsubscribe(processId);
      this.#watches.dropAll();
    });
    host.connections.add(this);
    this.#write({
      type: "hello",
      version: guestProtocolVersion,
      pid: process.pid,
      processes: host.describe(),
      seals: true,
      terminals: true,
    });
  }

  /**
   * A later server works on this session: whoever did before is gone, or must notice that. Without this the exec of a
   * server that was killed would stay in the sandbox, connected to nobody.
   */
  overtake(sessionId: string, generation: number): void {
    if ((this.#fenced.get(sessionId) ?? generation) < generation) this.#socket.destroy();
  }

  #receive(data: Uint8Array): void {
    try {
      for (const { header, body, refusedBytes } of this.#decoder.push(data)) {
        this.#answer(header, body, refusedBytes).catch((error: unknown) => this.#socket.destroy(asError(error)));
      }
    } catch (error) {
      // Not our protocol: nothing that follows can be understood.
      this.#socket.destroy(asError(error));
      return;
    }
    // Answers that nobody reads must not pile up.
    if (this.#socket.writableLength > maxQueuedBytes) this.#socket.pause();
  }

  async #answer(header: object, body: Uint8Array, refusedBytes = 0): Promise<void> {
    const requestId = requestIdOf(header);
    try {
      if (refusedBytes > 0) throw new RequestError("bad_request", `a body of ${refusedBytes} bytes is too large`);
      const result = await this.#handle(checkRequest(header), body);
      this.#write({ type: "reply", requestId, ok: true, ...result });
    } catch (error) {
      const otherCode = isDiskFull(error) ? "spool_full" : "bad_request";
      const code = error instanceof RequestError ? error.code : otherCode;
      const facts = error instanceof RequestError ? error.facts : {};
      this.#write({ type: "reply", requestId, ok: false, code, message: messageOf(error), ...facts });
      return;
    }
    // Only now, so that output follows the answer to its subscription.
    this.#send();
  }

  async #handle(request: GuestRequest, body: Uint8Array): Promise<Result> {
    switch (request.type) {
      case "start":
        return { pid: (await this.#host.start(request)).pid };
      case "subscribe":
        this.#subscribe(request);
        return {};
      case "unsubscribe":
        this.#unsubscribe(request.processId);
        return {};
      case "stdin": {
        const hosted = this.#host.claim(request.processId, request.generation);
        if (body.includes(10)) throw new RequestError("bad_request", "the body holds more than one line");
        await hosted.writeLine(request.lineId, body);
        return {};
      }
      case "close_stdin":
        this.#host.claim(request.processId, request.generation).closeStdin();
        return {};
      case "signal": {
        const hosted = this.#host.claim(request.processId, request.generation);
        if (isSignal(request.signal)) hosted.signal(request.signal, request.group);
        return {};
      }
      case "end_orphans": {
        const hosted = this.#host.claim(request.processId, request.generation);
        return { ended: hosted.endOrphans(request.since) };
      }
      case "fence":
        this.#host.fence(request.sessionId, request.generation);
        this.#fenced.set(request.sessionId, request.generation);
        for (const other of this.#host.connections) other.overtake(request.sessionId, request.generation);
        return {};
      case "committed": {
        const hosted = this.#host.claim(request.processId, request.generation);
        hosted.committed({ stdout: request.stdoutOffset, stderr: request.stderrOffset });
        return {};
      }
      case "remove":
        this.#host.remove(request.processId, request.generation);
        this.#unsubscribe(request.processId);
        return {};
      case "seal":
        if (body.length !== sealKeyBytes) throw new RequestError("bad_request", `a key has ${sealKeyBytes} bytes`);
        this.#sealer = new Sealer(body);
        return {};
      case "ping":
        return {};
      default:
        return await this.#handleTerminal(request, body);
    }
  }

  async #handleTerminal(
    request: Extract<GuestRequest, { type: `${string}_terminal${string}` }>,
    body: Uint8Array,
  ): Promise<Result> {
    const { terminals } = this.#host;
    switch (request.type) {
      case "open_terminal":
        await terminals.open(request);
        return { terminals: [terminals.get(request.terminalId).describe()] };
      case "list_terminals":
        return { terminals: terminals.describe() };
      case "watch_terminal":
        return { offset: this.#watches.add(terminals.get(request.terminalId), request.offset) };
      case "unwatch_terminal":
        this.#watches.drop(request.terminalId);
        return {};
      case "type_in_terminal":
        await terminals.get(request.terminalId).write(request.writer, request.offset, body);
        return {};
      case "resize_terminal":
        terminals.get(request.terminalId).resize(request);
        return {};
      case "end_terminal":
        await terminals.end(request.terminalId);
        return {};
    }
  }

  #subscribe(request: Extract<GuestRequest, { type: "subscribe" }>): void {
    const hosted = this.#host.get(request.processId);
    const { stdoutOffset, stderrOffset } = request;
    checkOffsets(hosted, { stdout: stdoutOffset, stderr: stderrOffset });
    this.#subscriptions.set(request.processId, { hosted, stdoutOffset, stderrOffset, failureTold: false });
    hosted.watchers.add(this.#pump);
  }

  #unsubscribe(processId: string): void {
    this.#subscriptions.get(processId)?.hosted.watchers.delete(this.#pump);
    this.#subscriptions.delete(processId);
  }

  /** Sends what is new, one chunk per process in turn, until the reader has enough or there is no more. */
  #send(): void {
    for (let again = true; again; ) {
      again = false;
      for (const [processId, subscription] of [...this.#subscriptions]) {
        if (this.#socket.destroyed || this.#socket.writableLength > maxQueuedBytes) return;
        again = this.#sendNext(processId, subscription) || again;
      }
      if (this.#socket.destroyed || this.#socket.writableLength > maxQueuedBytes) return;
      again = this.#watches.send(chunk, (message, body) => this.#write(message, body)) || again;
    }
  }

  #sendNext(processId: string, subscription: Subscription): boolean {
    const { hosted } = subscription;
    try {
      if (this.#sendChunk("stdout", subscription) || this.#sendChunk("stderr", subscription)) return true;
    } catch (error) {
      // The spool was removed or dropped below this reader by another client. It would wait for ever: it learns so when
      // it asks again.
      this.#socket.destroy(asError(error));
      return false;
    }
    if (hosted.spoolFailed !== null && !subscription.failureTold) {
      subscription.failureTold = true;
      this.#write({ type: "spool_failed", processId, message: hosted.spoolFailed });
    }
    if (hosted.exit === null) return false;
    const { code, signal } = hosted.exit;
    this.#unsubscribe(processId);
    this.#write({
      type: "exit",
      processId,
      code,
      signal,
      stdoutBytes: hosted.stdout.end,
      stderrBytes: hosted.stderr.end,
    });
    return false;
  }

  #sendChunk(type: "stdout" | "stderr", subscription: Subscription): boolean {
    const field = `${type}Offset` as const;
    const offset = subscription[field];
    const size = subscription.hosted[type].read(offset, chunk);
    if (size === 0) return false;
    subscription[field] = offset + size;
    noteBuffers(size);
    this.#write({ type, processId: subscription.hosted.processId, offset }, chunk.subarray(0, size));
    return true;
  }

  /** Whether it went out. */
  #write(message: GuestMessage, body?: Uint8Array): boolean {
    if (this.#socket.destroyed) return false;
    const frame = encodeFrame(message, body);
    if (this.#sealer === undefined) {
      this.#socket.write(frame);
      return true;
    }
    noteBuffers(frame.length);
    this.#socket.write(encodeFrame({ type: "sealed" }, this.#sealer.seal(frame)));
    return true;
  }
}

function checkOffsets({ stdout, stderr }: HostedProcess, offsets: { stdout: number; stderr: number }): void {
  const isHeld = ({ start, end }: SpoolRange, offset: number) => offset >= start && offset <= end;
  if (isHeld(stdout, offsets.stdout) && isHeld(stderr, offsets.stderr)) return;
  const range = ({ start, end }: SpoolRange) => ({ start, end });
  throw new RequestError(
    "offset_unavailable",
    `the spool holds bytes ${stdout.start} to ${stdout.end} of stdout and ${stderr.start} to ${stderr.end} of stderr, not from ${offsets.stdout} and ${offsets.stderr} on`,
    { spools: { stdout: range(stdout), stderr: range(stderr) } },
  );
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
