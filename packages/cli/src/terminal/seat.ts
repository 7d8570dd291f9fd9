import { randomBytes } from "node:crypto";
import type { Writable } from "node:stream";
import type { TerminalSaid, TerminalSize } from "@holdfast/protocol";
import { ApiError, type Terminal } from "@holdfast/sdk";
import { sleep } from "@holdfast/std";
import type { Connection } from "../client/connection.ts";
import { Escape } from "./escape.ts";
import { withoutQueries } from "./replay.ts";
import { Unconfirmed } from "./unconfirmed.ts";
import { frameBytes, Wire } from "./wire.ts";

export type Outcome = { kind: "exit"; code: number | null } | { kind: "left" };

export interface SeatOptions {
  connection: Connection;
  terminal: Terminal;
  /** Somebody was at it before: what is on its screen has to be drawn. */
  isOld: boolean;
  stdin: NodeJS.ReadStream;
  stdout: Writable & { columns?: number; rows?: number };
  signal: AbortSignal;
}

/** So much may be typed that the terminal has not taken; then the keyboard waits. */
const maxUnconfirmedBytes = 256 * 1024;
/** An outage of two or three seconds is not spoken of. */
const quietAttempts = 5;

/** What programs may have changed of the terminal around us, and a shell expects unchanged. */
const restored =
  "\u001b[?1047l\u001b[?2004l\u001b[?1000l\u001b[?1002l\u001b[?1003l\u001b[?1006l\u001b[?25h\u001b[?1l\u001b>\u001b[0m";
const help = "\r\n~.  leaves the terminal running    ~~  is one ~    ~?  is this\r\n";

export const sizeOf = ({ columns = 80, rows = 24 }: { columns?: number; rows?: number }): TerminalSize => ({
  rows: Math.min(Math.max(rows, 1), 1_000),
  cols: Math.min(Math.max(columns, 1), 1_000),
});

/**
 * Somebody who sits at a terminal. Comes back by itself when the connection is lost, by the offsets of both directions:
 * nothing is lost, and nothing comes twice.
 */
export class Seat {
  readonly #options: SeatOptions;
  readonly #escape = new Escape();
  readonly #typed = new Unconfirmed();
  readonly #writer = randomBytes(16).toString("hex");
  readonly #left = new AbortController();
  #wire: Wire | undefined;
  /** How far the output has been shown. */
  #shown = 0;
  /** Output of before, until all of it is there. */
  #replay: Uint8Array[] = [];
  #outcome: Outcome | undefined;
  #failure: ApiError | undefined;
  /** Whether it was said that the connection is lost. */
  #isToldLost = false;
  #drawsAnew: boolean;

  constructor(options: SeatOptions) {
    this.#options = options;
    this.#shown = options.terminal.output.start;
    this.#drawsAnew = options.isOld;
  }

  /** Until the shell ends or the user leaves. Throws `ApiError` for what trying again does not mend. */
  async sit(): Promise<Outcome> {
    const { stdin, stdout, signal } = this.#options;
    const onInput = (bytes: Buffer) => this.#type(bytes);
    const onResize = () => this.#wire?.resize(sizeOf(stdout));
    const onAbort = () => this.#left.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    stdin.setRawMode(true);
    stdin.on("data", onInput);
    stdin.resume();
    stdout.on("resize", onResize);
    try {
      return await this.#stay();
    } finally {
      signal.removeEventListener("abort", onAbort);
      stdin.off("data", onInput);
      stdout.off("resize", onResize);
      stdin.setRawMode(false);
      stdin.pause();
      stdout.write(restored);
    }
  }

  async #stay(): Promise<Outcome> {
    for (let attempt = 0; ; attempt++) {
      if (await this.#connect()) attempt = 0;
      if (this.#outcome !== undefined) return this.#outcome;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#left.signal.aborted) return this.#leave();
      const waitMs = Math.min(2_000, 50 * 2 ** Math.min(attempt, 6));
      if (attempt >= quietAttempts) this.#tellLost();
      await sleep(waitMs, this.#left.signal).catch(() => undefined);
      if (this.#left.signal.aborted) return this.#leave();
    }
  }

  #leave(): Outcome {
    const { signal } = this.#options;
    if (signal.aborted) throw signal.reason;
    return { kind: "left" };
  }

  /** One connection, to its end; whether it came to be. */
  async #connect(): Promise<boolean> {
    const { connection, terminal } = this.#options;
    const place = { offset: this.#shown, writer: this.#writer };
    const url = connection.holdfast.terminals.attachUrl(terminal.workspace_id, terminal.id, place);
    const left = this.#left.signal;
    if (left.aborted) return false;
    using wire = new Wire(
      { url, apiKey: connection.apiKey },
      { said: (said) => this.#hear(wire, said), output: (offset, bytes) => this.#show(wire, offset, bytes) },
    );
    const onLeft = () => wire[Symbol.dispose]();
    left.addEventListener("abort", onLeft, { once: true });
    try {
      await wire.ended;
    } catch (error) {
      if (error instanceof ApiError && !error.retryable) this.#failure = error;
    } finally {
      left.removeEventListener("abort", onLeft);
    }
    const came = this.#wire === wire;
    this.#wire = undefined;
    return came;
  }

  #hear(wire: Wire, said: TerminalSaid): void {
    if (said.type === "attached") this.#attached(wire, said.offset);
    else if (said.type === "typed") {
      this.#typed.confirm(said.offset);
      if (this.#typed.size < maxUnconfirmedBytes) this.#options.stdin.resume();
    } else if (said.type === "exit") {
      this.#endReplay();
      this.#outcome = { kind: "exit", code: said.code };
    } else if (said.code !== "sandbox_unavailable" && said.code !== "internal") {
      this.#failure = new ApiError({ ...said, status: 409, requestId: undefined, retryable: false });
    }
  }

  #attached(wire: Wire, offset: number): void {
    const { stdout, terminal } = this.#options;
    this.#wire = wire;
    const missing = offset - this.#shown;
    if (missing > 0 && this.#shown > terminal.output.start)
      stdout.write(`\r\n[${missing} bytes of output were not kept]\r\n`);
    this.#shown = Math.max(this.#shown, offset);
    const size = sizeOf(stdout);
    // A program with a screen of its own draws it anew when its size changes.
    if (this.#drawsAnew || this.#isToldLost || missing > 0) wire.resize({ ...size, rows: Math.max(size.rows - 1, 1) });
    this.#isToldLost = false;
    this.#drawsAnew = false;
    wire.resize(size);
    for (const { offset: at, bytes } of this.#typed.from(0, frameBytes)) wire.type(at, bytes);
  }

  #show(wire: Wire, offset: number, bytes: Uint8Array): void {
    const fresh = bytes.subarray(Math.max(0, this.#shown - offset));
    if (fresh.length === 0) return;
    const isOld = this.#shown < this.#options.terminal.output.end;
    this.#shown = offset + bytes.length;
    if (isOld) {
      this.#replay.push(Uint8Array.from(fresh));
      if (this.#shown >= this.#options.terminal.output.end) this.#endReplay();
      return;
    }
    const { stdout } = this.#options;
    if (stdout.write(fresh)) return;
    // A screen that is slower than the program holds it back.
    wire.pause();
    stdout.once("drain", () => wire.resume());
  }

  #endReplay(): void {
    if (this.#replay.length === 0) return;
    this.#options.stdout.write(withoutQueries(Buffer.concat(this.#replay)));
    this.#replay = [];
  }

  #type(keys: Uint8Array): void {
    const { bytes, wish } = this.#escape.take(keys);
    if (wish === "help") this.#options.stdout.write(help);
    if (bytes.length > 0) {
      const from = this.#typed.end;
      this.#typed.add(bytes);
      for (const { offset, bytes: part } of this.#typed.from(from, frameBytes)) this.#wire?.type(offset, part);
      if (this.#typed.size >= maxUnconfirmedBytes) this.#options.stdin.pause();
    }
    if (wish === "leave") this.#left.abort(new Error("left"));
  }

  #tellLost(): void {
    if (this.#isToldLost) return;
    this.#isToldLost = true;
    this.#options.stdout.write("\r\n[the connection is lost; trying again. Enter ~ . leaves]\r\n");
  }
}
