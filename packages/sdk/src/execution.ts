import { ApiError } from "./api-error.ts";
import { readSse } from "./sse.ts";

export interface OutputChunk {
  type: "stdout" | "stderr";
  text: string;
}

type Frame = OutputChunk | { type: "exit"; code: number } | { type: "error"; detail: string; remedy: string };

/** What nobody has read yet may take this many characters. */
const maxUnreadChars = 64 * 1024 * 1024;

/**
 * A running command. Read either `output`, or `stdout` and `stderr`; the network is read only as far as somebody asks
 * (`exitCode` asks for everything). Leaving its scope lets go of the stream.
 */
export class Execution implements AsyncDisposable {
  readonly #frames: AsyncGenerator<Frame, void, undefined>;
  readonly #abort: AbortController;
  readonly #signal: AbortSignal;
  readonly #unread = { output: [] as OutputChunk[], stdout: [] as string[], stderr: [] as string[] };
  #mode: "undecided" | "merged" | "split" = "undecided";
  #unreadChars = 0;
  #code: number | undefined;
  #error: unknown;
  #ended = false;
  #pulling: Promise<void> | undefined;

  constructor(body: ReadableStream<Uint8Array>, { abort, signal }: { abort: AbortController; signal: AbortSignal }) {
    this.#frames = readFrames(body);
    this.#abort = abort;
    this.#signal = signal;
  }

  /** Both streams as they came. */
  get output(): AsyncIterable<OutputChunk> {
    this.#decide("merged");
    return this.#read(this.#unread.output, (chunk) => chunk.text.length);
  }

  get stdout(): AsyncIterable<string> {
    this.#decide("split");
    return this.#read(this.#unread.stdout, (text) => text.length);
  }

  get stderr(): AsyncIterable<string> {
    this.#decide("split");
    return this.#read(this.#unread.stderr, (text) => text.length);
  }

  /** Reads to the end. Rejects when the stream broke before the command's end was told. */
  get exitCode(): Promise<number> {
    return this.#untilEnd();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new DOMException("The execution was let go", "AbortError"));
    return Promise.resolve();
  }

  #decide(mode: "merged" | "split"): void {
    if (this.#mode !== "undecided" && this.#mode !== mode)
      throw new TypeError("read either `output`, or `stdout` and `stderr`");
    this.#mode = mode;
    if (mode === "merged") this.#unread.stdout = this.#unread.stderr = [];
    else this.#unread.output = [];
  }

  async *#read<T>(queue: T[], size: (item: T) => number): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const item = queue.shift();
      if (item !== undefined) {
        this.#unreadChars -= size(item);
        yield item;
        continue;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return;
      await this.#pull();
    }
  }

  async #untilEnd(): Promise<number> {
    while (!this.#ended && this.#error === undefined) await this.#pull();
    if (this.#error !== undefined) throw this.#error;
    return this.#code ?? -1;
  }

  /** Several readers wait for the same frame. */
  #pull(): Promise<void> {
    this.#pulling ??= this.#next().finally(() => {
      this.#pulling = undefined;
    });
    return this.#pulling;
  }

  async #next(): Promise<void> {
    try {
      const { done, value } = await this.#frames.next();
      if (done) {
        this.#error = brokenOff();
        return;
      }
      if (value.type === "exit") {
        this.#code = value.code;
        this.#ended = true;
        await this.#frames.return();
      } else if (value.type === "error") this.#error = failed(value.detail, value.remedy);
      else this.#keep(value);
    } catch (error) {
      this.#error = this.#signal.aborted ? this.#signal.reason : brokenOff(error);
    }
  }

  #keep(chunk: OutputChunk): void {
    if (this.#mode !== "split") this.#unread.output.push(chunk);
    if (this.#mode !== "merged") this.#unread[chunk.type].push(chunk.text);
    this.#unreadChars += chunk.text.length;
    if (this.#unreadChars <= maxUnreadChars) return;
    const overflow = new RangeError(`more than ${maxUnreadChars} characters of output wait to be read`);
    this.#abort.abort(overflow);
    throw overflow;
  }
}

const failed = (detail: string, remedy: string, cause?: unknown) =>
  new ApiError({ code: "exec_failed", status: 200, detail, remedy, requestId: undefined, retryable: true }, { cause });

const brokenOff = (cause?: unknown) =>
  failed(
    "The stream ended before the command did",
    "Whether the command went on is not known; look at what it was to do.",
    cause,
  );

async function* readFrames(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame, void, undefined> {
  for await (const { event, data } of readSse(body)) {
    if (event === "ping") continue;
    const value = JSON.parse(data) as Record<string, unknown>;
    if (event === "error" || value.type === "error") {
      const inner = (typeof value.error === "object" && value.error !== null ? value.error : value) as Record<
        string,
        unknown
      >;
      yield {
        type: "error",
        detail: String(inner.message ?? inner.detail ?? "The command could not be followed"),
        remedy: String(inner.remedy ?? ""),
      };
    } else if (value.type === "exit") yield { type: "exit", code: Number(value.code) };
    else if (value.type === "stdout" || value.type === "stderr")
      yield { type: value.type, text: String(value.text ?? "") };
  }
}
