import { createParser } from "eventsource-parser";

/** Token numbers of one answer, as Anthropic reports them. */
export interface MeteredUsage {
  readonly model?: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheWriteTokens: number;
  readonly cacheReadTokens: number;
  /** Whether the answer was seen to its end. */
  readonly complete: boolean;
}

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null;

/** An event longer than this is no message_start and no message_delta; it is skipped without being kept. */
const MAX_EVENT_CHARS = 256 * 1024;
const MAX_JSON_BYTES = 8 * 1024 * 1024;

/** Listens in on an answer and keeps only its usage: memory does not grow with a stream. */
export interface UsageMeter {
  push(chunk: Uint8Array): void;
  /** Undefined when the answer told no usage. */
  end(): MeteredUsage | undefined;
}

export function createUsageMeter(contentType: string): UsageMeter {
  return contentType.includes("text/event-stream") ? new SseMeter() : new JsonMeter();
}

class Tally {
  model: string | undefined;
  complete = false;
  seen = false;
  readonly #tokens = new Map<string, number>();

  add(usage: unknown): void {
    if (!isObject(usage)) return;
    for (const name of TOKEN_FIELDS) {
      const value = usage[name];
      // Later numbers replace earlier ones: message_delta is cumulative.
      if (typeof value === "number" && Number.isFinite(value) && value >= 0) {
        this.#tokens.set(name, value);
        this.seen = true;
      }
    }
  }

  result(): MeteredUsage | undefined {
    if (!this.seen) return undefined;
    const tokens = (name: (typeof TOKEN_FIELDS)[number]) => this.#tokens.get(name) ?? 0;
    return {
      ...(this.model === undefined ? {} : { model: this.model }),
      inputTokens: tokens("input_tokens"),
      outputTokens: tokens("output_tokens"),
      cacheWriteTokens: tokens("cache_creation_input_tokens"),
      cacheReadTokens: tokens("cache_read_input_tokens"),
      complete: this.complete,
    };
  }
}

const TOKEN_FIELDS = [
  "input_tokens",
  "output_tokens",
  "cache_creation_input_tokens",
  "cache_read_input_tokens",
] as const;

class SseMeter implements UsageMeter {
  readonly #tally = new Tally();
  readonly #decoder = new TextDecoder();
  #overflowed = false;
  readonly #parser = createParser({
    maxBufferSize: MAX_EVENT_CHARS,
    onEvent: ({ data }) => this.#take(data),
    onError: ({ type }) => {
      this.#overflowed ||= type === "max-buffer-size-exceeded";
    },
  });

  push(chunk: Uint8Array): void {
    this.#feed(this.#decoder.decode(chunk, { stream: true }));
  }

  end(): MeteredUsage | undefined {
    // What was cut off counts as far as it came.
    this.#feed("\n\n");
    return this.#tally.result();
  }

  #feed(text: string): void {
    this.#parser.feed(text);
    if (!this.#overflowed) return;
    // The rest of what was too long is no field of an event, and passed over.
    this.#overflowed = false;
    this.#parser.reset();
  }

  #take(data: string): void {
    if (!/"message_(?:start|delta|stop)"/.test(data)) return;
    const event = parse(data);
    if (event?.type === "message_start" && isObject(event.message)) {
      if (typeof event.message.model === "string") this.#tally.model = event.message.model;
      this.#tally.add(event.message.usage);
    } else if (event?.type === "message_delta") this.#tally.add(event.usage);
    else if (event?.type === "message_stop") this.#tally.complete = true;
  }
}

class JsonMeter implements UsageMeter {
  #chunks: Buffer[] = [];
  #bytes = 0;

  push(chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > MAX_JSON_BYTES) this.#chunks = [];
    else this.#chunks.push(Buffer.from(chunk));
  }

  end(): MeteredUsage | undefined {
    const message = this.#bytes > MAX_JSON_BYTES ? undefined : parse(Buffer.concat(this.#chunks).toString("utf8"));
    if (message?.type !== "message") return undefined;
    const tally = new Tally();
    if (typeof message.model === "string") tally.model = message.model;
    tally.add(message.usage);
    tally.complete = true;
    return tally.result();
  }
}

function parse(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    // A broken line is the client's to complain about; the meter only misses it.
    return undefined;
  }
}
