import { isObject, type JsonObject, limitDepth } from "./json.ts";

/** One line of the CLI's stdout: a JSON object, or whatever else it was. */
export type DecodedLine =
  | { readonly kind: "json"; readonly value: JsonObject }
  | { readonly kind: "text"; readonly text: string };

/**
 * What a terminal adds around lines: CSI sequences, OSC and other string sequences (title, hyperlink), short escapes.
 * Inside JSON strings such bytes are always escaped, so taking raw ones away never touches content.
 */
const escapes =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  /\u001b\[[0-?]*[ -/]*[@-~]|\u001b[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[ -/]*[0-~]|\u009b[0-?]*[ -/]*[@-~]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const controls = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/**
 * Never throws. CR, terminal escapes and a byte order mark around the JSON do not matter. What is nested deeper than two
 * hundred levels is cut there.
 */
export function decodeLine(line: Uint8Array | string): DecodedLine {
  const raw = typeof line === "string" ? line : new TextDecoder().decode(line);
  const direct = parseObject(raw);
  if (direct !== undefined) return { kind: "json", value: direct };
  const text = raw
    .replace(escapes, "")
    .replace(controls, "")
    .replace(/^\uFEFF/, "")
    .trim();
  const cleaned = parseObject(text) ?? parseObject(text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1));
  return cleaned === undefined ? { kind: "text", text } : { kind: "json", value: cleaned };
}

function parseObject(text: string): JsonObject | undefined {
  if (!text.includes("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (!isObject(value)) return undefined;
    limitDepth(value);
    return value;
  } catch {
    // Not JSON is an answer here, not an error: the line is kept as text.
    return undefined;
  }
}

/** One line of a byte stream, without its newline. */
export interface RawLine {
  readonly bytes: Uint8Array;
  /** Offset of the byte after the newline: what may be committed once this line is. */
  readonly endOffset: number;
  /** The line was longer than the limit: `bytes` is its beginning. */
  readonly truncated: boolean;
}

/** Cuts a byte stream into lines. Lines of several MB are ordinary (an edit of a large file prints it whole). */
export class LineSplitter {
  #parts: Uint8Array[] = [];
  #held = 0;
  #truncated = false;
  #offset: number;
  readonly #maxLineBytes: number;

  constructor(options: { offset?: number; maxLineBytes?: number } = {}) {
    this.#offset = options.offset ?? 0;
    this.#maxLineBytes = options.maxLineBytes ?? 64 * 1024 * 1024;
  }

  /** Bytes of an unfinished line that wait for their newline. */
  get pendingBytes(): number {
    return this.#held;
  }

  push(chunk: Uint8Array): RawLine[] {
    const lines: RawLine[] = [];
    let from = 0;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      this.#hold(chunk.subarray(from, at));
      this.#offset += at + 1 - from;
      lines.push(this.#take());
      from = at + 1;
    }
    this.#hold(chunk.subarray(from));
    this.#offset += chunk.length - from;
    return lines;
  }

  /** The last line when the stream ended without a newline (a killed process); undefined when there is none. */
  end(): RawLine | undefined {
    return this.#held === 0 ? undefined : this.#take();
  }

  #hold(part: Uint8Array): void {
    const room = this.#maxLineBytes - this.#held;
    if (part.length > room) this.#truncated = true;
    const kept = part.length > room ? part.subarray(0, room) : part;
    if (kept.length === 0) return;
    // A copy: the caller may reuse its buffer before the line is complete.
    this.#parts.push(kept.slice());
    this.#held += kept.length;
  }

  #take(): RawLine {
    const bytes = new Uint8Array(this.#held);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const line = { bytes, endOffset: this.#offset, truncated: this.#truncated };
    this.#parts = [];
    this.#held = 0;
    this.#truncated = false;
    return line;
  }
}
