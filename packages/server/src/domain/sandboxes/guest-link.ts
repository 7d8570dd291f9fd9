import { randomBytes } from "node:crypto";
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type GuestMessage,
  type GuestProcess,
  type GuestRequest,
  guestSocketPath,
  sealKeyBytes,
  Unsealer,
} from "@holdfast/guest";
import { isAbort, withDeadline } from "@holdfast/std";
import type { RunningExec, SandboxHandle } from "../../ports/sandbox-provider.ts";
import { FrameWriter } from "./frame-writer.ts";
import { LinkWatch } from "./link-watch.ts";

type Reply = Extract<GuestMessage, { type: "reply" }>;
type OpenMessage = Exclude<GuestMessage, { type: "sealed" }>;
type WithoutId<T> = T extends { requestId: number } ? Omit<T, "requestId"> : never;
export type GuestCall = WithoutId<GuestRequest>;

/** Where a process's output goes. The next frame is read when the promise has settled: that is the back-pressure. */
export interface ProcessListener {
  stdout(offset: number, bytes: Uint8Array): Promise<void>;
  stderr(offset: number, bytes: Uint8Array): Promise<void>;
  exit(message: Extract<GuestMessage, { type: "exit" }>): Promise<void>;
  spoolFailed(message: string): Promise<void>;
}

/** Where a terminal's output goes; as with processes, nothing is read meanwhile. */
export interface TerminalListener {
  output(offset: number, bytes: Uint8Array): Promise<void>;
  exit(message: Extract<GuestMessage, { type: "terminal_exit" }>): Promise<void>;
}

export class GuestError extends Error {
  override name = "GuestError";
  readonly code: string;
  /** With `offset_unavailable`: what it holds. */
  readonly spools: Extract<Reply, { ok: false }>["spools"];
  constructor({ code, message, spools }: Extract<Reply, { ok: false }>) {
    super(`the guest refused: ${message} (${code})`);
    this.code = code;
    this.spools = spools;
  }
}

/** The connection to the guest is gone; the guest and its processes may well live. */
export class LinkLostError extends Error {
  override name: string = "LinkLostError";
}

/** The sandbox itself said so: no guest listens there. */
export class GuestAbsentError extends LinkLostError {
  override name = "GuestAbsentError";
}

const callTimeoutMs = 15_000;
/** A line is in the pipe when Claude reads: one that starts, or is stopped, takes its time. A dead link is noticed by its pings. */
const stdinTimeoutMs = 10 * 60 * 1000;
const helloTimeoutMs = 15_000;
/** An exec that nobody could end, because the network was cut just then, ends by itself. */
const attachLifeMs = 2 * 60 * 60 * 1000;

/** One attached exec to a sandbox's guest, shared by all sessions in it. */
export class GuestLink implements AsyncDisposable {
  readonly #exec: RunningExec;
  readonly #calls = new Map<number, PromiseWithResolvers<Reply>>();
  readonly #listeners = new Map<string, ProcessListener>();
  readonly #terminals = new Map<string, TerminalListener>();
  readonly #ended = new AbortController();
  readonly #watch: LinkWatch;
  readonly #writer: FrameWriter;
  #nextId = 1;
  #lost: LinkLostError | undefined;
  #greeted = false;
  /** Of what comes; undefined with a guest of before. */
  #unsealer: Unsealer | undefined;
  /** As they were when the link was opened. */
  processes: GuestProcess[] = [];
  /** Whether it makes terminals; a guest of before does not. */
  makesTerminals = false;

  private constructor(exec: RunningExec) {
    this.#exec = exec;
    this.#watch = new LinkWatch({
      isNeeded: () => this.#calls.size > 0 || this.#listeners.size > 0 || this.#terminals.size > 0,
      ping: () => this.tell({ type: "ping" }),
      onSilent: (silentMs) => this.#abandon(`nothing came for ${Math.round(silentMs / 1000)} seconds`),
    });
    // Answers to pings wait behind a large frame; that it goes on is as good a sign.
    this.#writer = new FrameWriter({ write: (bytes) => this.#write(bytes), onTaken: () => this.#watch.heard() });
  }

  /** Resolves when the guest has said hello. */
  static async open(handle: SandboxHandle, signal: AbortSignal): Promise<GuestLink> {
    const args = ["socat", "-", `UNIX-CONNECT:${guestSocketPath}`];
    const exec = await handle.exec(args, { timeoutMs: attachLifeMs, signal });
    const link = new GuestLink(exec);
    const hello = Promise.withResolvers<void>();
    const errors = tailOf(exec.stderr);
    link.#follow(hello.resolve, errors).then(hello.reject, hello.reject);
    try {
      await withDeadline(() => hello.promise, { what: "the guest's greeting", timeoutMs: helloTimeoutMs, signal });
    } catch (error) {
      await link[Symbol.asyncDispose]();
      throw error;
    }
    return link;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Aborts, with a `LinkLostError`, when the link is gone. */
  get lost(): AbortSignal {
    return this.#ended.signal;
  }

  /** One request and its answer. Throws `GuestError` when the guest refuses. Never call it from a listener and wait. */
  async call(
    call: GuestCall,
    options: { body?: Uint8Array; signal: AbortSignal },
  ): Promise<Extract<Reply, { ok: true }>> {
    if (this.#lost !== undefined) throw this.#lost;
    const requestId = this.#nextId++;
    const answer = Promise.withResolvers<Reply>();
    // The link can be lost while the request is still being written, and nobody awaits the answer yet.
    answer.promise.catch(() => undefined);
    this.#calls.set(requestId, answer);
    const isInput = call.type === "stdin" || call.type === "type_in_terminal";
    const timeoutMs = isInput ? stdinTimeoutMs : callTimeoutMs;
    try {
      const reply = await withDeadline(
        async (signal) => {
          const writing = this.#writer.write(encodeFrame({ ...call, requestId } as GuestRequest, options.body), signal);
          // A link that is lost meanwhile ends the wait, though a write into it may hang for long.
          await Promise.race([writing, answer.promise]);
          return await answer.promise;
        },
        { what: `the guest's answer to ${call.type}`, timeoutMs, signal: options.signal },
      );
      if (!reply.ok) throw new GuestError(reply);
      return reply;
    } finally {
      this.#calls.delete(requestId);
    }
  }

  /** Tells without waiting for an answer. */
  tell(call: GuestCall, body?: Uint8Array): void {
    const requestId = this.#nextId++;
    // A link that is gone loses it; what is told this way is only good to know for the guest.
    this.#writer.write(encodeFrame({ ...call, requestId } as GuestRequest, body)).catch(() => undefined);
  }

  /** From now on this process's output goes to `listener`. Call `subscribe` afterwards. */
  listen(processId: string, listener: ProcessListener): () => void {
    this.#listeners.set(processId, listener);
    return () => {
      if (this.#listeners.get(processId) === listener) this.#listeners.delete(processId);
    };
  }

  /** The same for a terminal; call `watch_terminal` afterwards. */
  listenTerminal(terminalId: string, listener: TerminalListener): void {
    this.#terminals.set(terminalId, listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lose("it was closed");
    // The exec may be gone already, and then there is nothing to close.
    await this.#exec.closeStdin().catch(() => undefined);
  }

  /** Given up: another link is opened at once, whatever becomes of this one's exec. */
  #abandon(why: string, cause?: unknown): LinkLostError {
    const lost = this.#lose(why, cause);
    // Through the network that is cut: it may take until that is back, or fail.
    this.#exec.closeStdin().catch(() => undefined);
    return lost;
  }

  /** What cannot be written has lost the link, though its output may still be open: the next one is opened at once. */
  async #write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#exec.write(bytes);
    } catch (error) {
      throw this.#abandon(`a write failed: ${error instanceof Error ? error.message : String(error)}`, error);
    }
  }

  /** An exec that could not connect in the sandbox, and says so by its exit code, proves that no guest is there. */
  async #absence(lost: LinkLostError): Promise<GuestAbsentError | undefined> {
    if (this.#greeted) return undefined;
    // Where the code cannot be had, nothing is proved.
    const code = await this.#exec.wait(AbortSignal.timeout(callTimeoutMs)).catch(() => undefined);
    return code === 1 ? new GuestAbsentError(lost.message, { cause: lost }) : undefined;
  }

  /** Resolves when nothing more comes, with why. */
  async #follow(onHello: () => void, errors: Promise<string>): Promise<LinkLostError> {
    try {
      await this.#read(onHello);
    } catch (error) {
      return this.#lose(error instanceof Error ? error.message : String(error), error);
    }
    const lost = this.#lose(`its exec ended: ${(await errors).trim() || "no output"}`);
    return (await this.#absence(lost)) ?? lost;
  }

  async #read(onHello: () => void): Promise<void> {
    const decoder = new FrameDecoder<GuestMessage>();
    for await (const chunk of this.#exec.stdout) {
      this.#watch.heard();
      for (const frame of this.#opened(decoder.push(chunk))) {
        if (this.#lost !== undefined) return;
        const { header, body } = frame;
        if (header.type === "hello") {
          this.processes = header.processes;
          this.makesTerminals = header.terminals === true;
          if (header.seals === true) this.#seal();
          this.#greeted = true;
          onHello();
        } else if (header.type === "reply") this.#calls.get(header.requestId)?.resolve(header);
        else await this.#watch.deaf(() => this.#deliver(header, body));
      }
    }
  }

  /**
   * What an exec says is kept on the provider's disk for as long as it sees fit, and nobody can take it back there: a
   * prompt that was deleted here would stay. From here on that is worth nothing to who does not have the key, which
   * is gone with this link.
   */
  #seal(): void {
    const key = randomBytes(sealKeyBytes);
    this.#unsealer = new Unsealer(key);
    this.tell({ type: "seal" }, key);
  }

  *#opened(frames: Iterable<Frame<GuestMessage>>): Generator<Frame<OpenMessage>, void, undefined> {
    for (const { header, body } of frames) {
      if (header.type !== "sealed") yield { header, body };
      else if (this.#unsealer === undefined) throw new Error("a sealed frame came without a key");
      else {
        // Whole frames are sealed, each by itself.
        const inner = new FrameDecoder<OpenMessage>();
        yield* inner.push(this.#unsealer.open(body));
      }
    }
  }

  async #deliver(header: Exclude<OpenMessage, { type: "hello" | "reply" }>, body: Uint8Array): Promise<void> {
    if (header.type === "terminal_output")
      return await this.#terminals.get(header.terminalId)?.output(header.offset, body);
    if (header.type === "terminal_exit") return await this.#terminals.get(header.terminalId)?.exit(header);
    const listener = this.#listeners.get(header.processId);
    if (listener === undefined) return;
    if (header.type === "exit") await listener.exit(header);
    else if (header.type === "spool_failed") await listener.spoolFailed(header.message);
    else await listener[header.type](header.offset, body);
  }

  #lose(why: string, cause?: unknown): LinkLostError {
    if (this.#lost !== undefined) return this.#lost;
    this.#lost = new LinkLostError(`the connection to the sandbox's guest is gone: ${why}`, { cause });
    for (const { reject } of this.#calls.values()) reject(this.#lost);
    this.#listeners.clear();
    this.#terminals.clear();
    this.#watch[Symbol.dispose]();
    this.#ended.abort(this.#lost);
    return this.#lost;
  }
}

async function tailOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  try {
    for await (const chunk of stream) text = (text + new TextDecoder().decode(chunk)).slice(-2_000);
  } catch (error) {
    if (!isAbort(error)) text += ` (${error instanceof Error ? error.message : error})`;
  }
  return text;
}
