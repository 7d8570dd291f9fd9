import { maxInputBytes, type TerminalSaid, terminalFrame, terminalFrameParts } from "@holdfast/protocol";
import { ApiError } from "@holdfast/sdk";
import { WebSocket } from "ws";

/** Longer than a server's heartbeats are apart: the connection is dead. */
const silenceMs = 60_000;
const maxAnswerBytes = 64 * 1024;

export interface WireEvents {
  said(said: TerminalSaid): void;
  output(offset: number, bytes: Uint8Array): void;
}

export interface WireTarget {
  url: string;
  apiKey: string;
}

/** One WebSocket to a terminal. */
export class Wire implements Disposable {
  readonly #socket: WebSocket;
  /** Resolves, with the code, when it is over; rejects with an `ApiError` where the server refused it. */
  readonly ended: Promise<number>;

  constructor({ url, apiKey }: WireTarget, events: WireEvents) {
    const socket = new WebSocket(url, { headers: { "x-api-key": apiKey }, perMessageDeflate: false });
    this.#socket = socket;
    const alarm = setTimeout(() => socket.terminate(), silenceMs);
    for (const sign of ["open", "ping", "message"] as const) socket.on(sign, () => alarm.refresh());
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      const parts = isBinary ? terminalFrameParts(data) : undefined;
      if (parts !== undefined) events.output(parts.offset, parts.bytes);
      else if (!isBinary) events.said(JSON.parse(data.toString()) as TerminalSaid);
    });
    // `close` follows.
    socket.on("error", () => undefined);
    this.ended = new Promise<number>((resolve, reject) => {
      socket.on("unexpected-response", (_request, response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => {
          if (text.length < maxAnswerBytes) text += String(chunk);
        });
        response.on("close", () => {
          reject(refusalOf(response.statusCode ?? 0, text));
          socket.terminate();
        });
      });
      socket.on("close", (code) => {
        clearTimeout(alarm);
        resolve(code);
      });
    });
  }

  type(offset: number, bytes: Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(terminalFrame(offset, bytes));
  }

  resize(size: { rows: number; cols: number }): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type: "resize", ...size }));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  [Symbol.dispose](): void {
    this.#socket.terminate();
  }
}

/** Of one frame. */
export const frameBytes = maxInputBytes / 2;

function refusalOf(status: number, text: string): ApiError {
  const said = problemIn(text);
  return new ApiError({
    code: said.code ?? `http_${status}`,
    status,
    detail: said.detail ?? `The server answered ${status}`,
    remedy: said.remedy ?? "",
    requestId: undefined,
    retryable: status >= 500,
  });
}

/** Nothing where it is none: something between may have answered. */
function problemIn(text: string): { code?: string; detail?: string; remedy?: string } {
  try {
    return JSON.parse(text) as object;
  } catch {
    return {};
  }
}
