import {
  AppError,
  isAppError,
  TerminalHeard,
  type TerminalSaid,
  terminalFrame,
  terminalFrameParts,
} from "@holdfast/protocol";
import { inBackground } from "@holdfast/std";
import type { Logger } from "pino";
import type { RawData, WebSocket } from "ws";
import type { Attachment } from "../domain/terminals/attachment.ts";

interface Carrying {
  attachment: Attachment;
  /** Of the output that is wanted. */
  offset: number;
  /** The client's and its key's. */
  signal: AbortSignal;
  /** The server's. */
  closing: AbortSignal;
  heartbeatMs: number;
  logger: Logger;
}

/** What a WebSocket ends with (RFC 6455). */
const closes = { done: 1000, goingAway: 1001, refused: 1008, broken: 1011, tryAgain: 1012 } as const;
/** So long a client may take to answer the end. */
const closeMs = 2_000;

/**
 * Carries a terminal over a WebSocket until either end is over. Output is read from the guest when what came before is
 * with the client's side of the network; input is read when what came before is in the terminal.
 */
export function carryTerminal(socket: WebSocket, carrying: Carrying): void {
  const { attachment, signal, closing, logger } = carrying;
  const over = new AbortController();
  const end = (code: number, why: string) => {
    if (over.signal.aborted) return;
    over.abort(new Error(why));
    socket.close(code, why);
    setTimeout(() => socket.terminate(), closeMs).unref();
  };
  const fail = (error: unknown) => {
    if (over.signal.aborted) return;
    const problem = isAppError(error) ? error : new AppError("internal", { cause: error });
    if (!isAppError(error)) logger.error({ err: error }, "a terminal's connection broke");
    const { code, message: detail, entry } = problem;
    say(socket, { type: "error", code, detail, remedy: entry.remedy });
    end(entry.status >= 500 ? closes.broken : closes.refused, code);
  };
  const onLost = () => {
    const isGone = attachment.lost.reason?.name === "SandboxGoneError";
    if (isGone) fail(new AppError("sandbox_ended", { detail: "The sandbox has ended, and the terminal with it" }));
    // Most likely it was the engine, or the guest, that was started again.
    else end(closes.tryAgain, "the sandbox cannot be reached just now");
  };
  const onSignal = () =>
    end(
      closing.aborted ? closes.goingAway : closes.refused,
      closing.aborted ? "the server stops" : "the key was revoked",
    );
  const { lost } = attachment;
  lost.addEventListener("abort", onLost, { once: true });
  signal.addEventListener("abort", onSignal, { once: true });
  const beat = heartbeat(socket, carrying.heartbeatMs);
  socket.on("error", () => undefined);
  socket.once("close", () => {
    over.abort(new Error("the client has left"));
    beat[Symbol.dispose]();
    lost.removeEventListener("abort", onLost);
    signal.removeEventListener("abort", onSignal);
    inBackground(attachment[Symbol.asyncDispose](), () => undefined);
  });
  hear(socket, attachment, { signal: over.signal, fail });
  const watching = watch(socket, carrying, {
    signal: over.signal,
    done: () => end(closes.done, "the terminal has ended"),
  });
  inBackground(watching, fail);
  if (lost.aborted) onLost();
  if (signal.aborted) onSignal();
}

/** Ends a connection whose client answers nothing any more, or takes nothing: its answers wait behind what it does not take. */
function heartbeat(socket: WebSocket, everyMs: number): Disposable {
  let isAnswered = true;
  socket.on("pong", () => {
    isAnswered = true;
  });
  const timer = setInterval(() => {
    if (!isAnswered) return socket.terminate();
    isAnswered = false;
    socket.ping();
  }, everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function watch(
  socket: WebSocket,
  { attachment, offset }: Carrying,
  { signal, done }: { signal: AbortSignal; done: () => void },
): Promise<void> {
  // Output may come before the answer says from where.
  const told = Promise.withResolvers<void>();
  told.promise.catch(() => undefined);
  const sink = {
    output: async (at: number, bytes: Uint8Array) => {
      await told.promise;
      await send(socket, terminalFrame(at, bytes));
    },
    exit: (code: number | null) => {
      say(socket, { type: "exit", code });
      done();
    },
  };
  try {
    const from = await attachment.watch(offset, sink, signal);
    say(socket, { type: "attached", offset: from });
    told.resolve();
  } catch (error) {
    told.reject(error);
    throw error;
  }
}

/** Resolves when it has left this process; also when there is nobody any more to have it. */
function send(socket: WebSocket, frame: Uint8Array): Promise<void> {
  return new Promise((resolve) => socket.send(frame, { binary: true }, () => resolve()));
}

function say(socket: WebSocket, said: TerminalSaid): void {
  socket.send(JSON.stringify(said), () => undefined);
}

/** One message after the other; meanwhile nothing more is read than what is under way already. */
function hear(
  socket: WebSocket,
  attachment: Attachment,
  { signal, fail }: { signal: AbortSignal; fail: (error: unknown) => void },
): void {
  let tail: Promise<void> = Promise.resolve();
  let waiting = 0;
  socket.on("message", (data: RawData, isBinary: boolean) => {
    if (++waiting === 1) socket.pause();
    tail = tail
      .then(() => (signal.aborted ? undefined : take(socket, attachment, { bytes: data as Buffer, isBinary, signal })))
      .catch((error) => {
        if (!signal.aborted) fail(error);
      })
      .finally(() => {
        if (--waiting === 0) socket.resume();
      });
  });
}

async function take(
  socket: WebSocket,
  attachment: Attachment,
  { bytes, isBinary, signal }: { bytes: Buffer; isBinary: boolean; signal: AbortSignal },
): Promise<void> {
  if (!isBinary) return await attachment.resize(parseHeard(bytes.toString()), signal);
  const parts = terminalFrameParts(bytes);
  if (parts === undefined) throw new AppError("request_invalid", { detail: "A binary frame has no offset" });
  await attachment.type(parts.offset, parts.bytes, signal);
  say(socket, { type: "typed", offset: parts.offset + parts.bytes.length });
}

function parseHeard(text: string): TerminalHeard {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AppError("request_malformed", { detail: "A text frame is not JSON", cause: error });
  }
  const heard = TerminalHeard.safeParse(value);
  if (heard.success) return heard.data;
  const detail = `A text frame is not understood: ${heard.error.issues[0]?.message ?? ""}`;
  throw new AppError("request_invalid", { detail });
}
