import { type TerminalSaid, terminalFrame, terminalFrameParts } from "@holdfast/protocol";
import { WebSocket } from "ws";

/** A client that was refused, with the answer of HTTP. */
export class RefusedError extends Error {
  readonly status: number;
  readonly body: Record<string, unknown>;
  constructor(status: number, body: string) {
    super(`${status} ${body}`);
    this.status = status;
    this.body = body.startsWith("{") ? (JSON.parse(body) as Record<string, unknown>) : {};
  }
}

/** One connection to a terminal. */
export class TerminalClient implements Disposable {
  readonly socket: WebSocket;
  /** From the first byte that came. */
  output = Buffer.alloc(0);
  /** Offset of that. */
  from = 0;
  /** How far this connection's input is in the terminal. */
  typed = 0;
  exit: { code: number | null } | undefined;
  error: Extract<TerminalSaid, { type: "error" }> | undefined;
  closed: { code: number; reason: string } | undefined;
  /** Frames whose bytes did not follow on those before. */
  gaps = 0;
  #sent = 0;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: WebSocket, sent: number) {
    this.socket = socket;
    this.#sent = sent;
    socket.on("message", (data: Buffer, isBinary: boolean) => this.#take(data, isBinary));
    socket.on("error", () => undefined);
    socket.on("close", (code, reason) => {
      this.closed = { code, reason: String(reason) };
      this.#wake();
    });
  }

  /** Rejects with a `RefusedError`. */
  static async attach(
    url: string,
    path: string,
    { headers = {}, sent = 0 }: { headers?: Record<string, string>; sent?: number } = {},
  ): Promise<TerminalClient> {
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}${path}`, { headers });
    const client = new TerminalClient(socket, sent);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
      socket.once("unexpected-response", (_request, response) => {
        let body = "";
        response.on("data", (chunk) => (body += String(chunk)));
        response.on("end", () => reject(new RefusedError(response.statusCode ?? 0, body)));
      });
    });
    await client.until("the start", () => client.#isAttached);
    return client;
  }

  #isAttached = false;

  /** Types, without waiting. */
  type(text: string | Uint8Array, offset = this.#sent): void {
    const bytes = Buffer.from(text as string);
    this.#sent = Math.max(this.#sent, offset + bytes.length);
    this.socket.send(terminalFrame(offset, bytes));
  }

  resize(rows: number, cols: number): void {
    this.socket.send(JSON.stringify({ type: "resize", rows, cols }));
  }

  async waitFor(text: string | RegExp, after = 0): Promise<string> {
    return await this.until(String(text), () => {
      const said = this.output.subarray(after).toString();
      return said.search(text) === -1 ? undefined : said;
    });
  }

  /** Types a line and waits for what it prints; the echo does not count. */
  async say(line: string, answer: string | RegExp): Promise<string> {
    const after = this.output.length;
    this.type(`${line}\r`);
    return await this.waitFor(answer, after);
  }

  until<T>(what: string, check: () => T | undefined | false, timeoutMs = 20_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const value = check();
        const isThere = value !== undefined && value !== false;
        if (!isThere && this.closed === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        if (isThere) resolve(value as T);
        else reject(new Error(`closed with ${JSON.stringify(this.closed)} before ${what}: ${this.#tail()}`));
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`waited ${timeoutMs} ms for ${what}: ${this.#tail()}`));
      }, timeoutMs);
      this.#waiting.add(look);
      look();
    });
  }

  /** Waits until it is over. */
  async end(): Promise<{ code: number; reason: string }> {
    return await this.until("the end", () => this.closed);
  }

  [Symbol.dispose](): void {
    this.socket.terminate();
  }

  #tail(): string {
    return JSON.stringify([this.output.subarray(-300).toString(), this.error]);
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (isBinary) {
      const { offset, bytes } = terminalFrameParts(data) ?? { offset: -1, bytes: data };
      if (offset !== this.from + this.output.length) this.gaps++;
      this.output = Buffer.concat([this.output, bytes]);
    } else {
      const said = JSON.parse(data.toString()) as TerminalSaid;
      if (said.type === "attached") [this.from, this.#isAttached] = [said.offset, true];
      else if (said.type === "typed") this.typed = said.offset;
      else if (said.type === "exit") this.exit = { code: said.code };
      else this.error = said;
    }
    this.#wake();
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }
}
