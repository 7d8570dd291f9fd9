import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";

/** A text from here on is clipped where it is a copy of something else. */
export const clipFrom = 1024;

/**
 * A line of the CLI without the large copies in it: images, and files that a tool read or wrote, become a mark with
 * size and hash. Every other byte stays. What is no JSON becomes a line of JSON that holds it.
 */
export function clipLine(line: Uint8Array): Uint8Array {
  if (!isUtf8(line))
    return wrapped({ text: new TextDecoder().decode(line), base64: Buffer.from(line).toString("base64") });
  const text = Buffer.from(line.buffer, line.byteOffset, line.length);
  if (!isJson(text)) return wrapped({ text: text.toString() });
  if (line.length < clipFrom) return line;
  return new Clipper(text).run();
}

function isJson(text: Buffer): boolean {
  try {
    JSON.parse(text.toString());
    return true;
  } catch {
    // An answer, not an error: the line is kept as text.
    return false;
  }
}

function wrapped(fields: { text: string; base64?: string }): Uint8Array {
  return Buffer.from(JSON.stringify({ type: "holdfast.not_json", ...fields }));
}

/** Copies lie near the top of a line; the way down to what lies deeper would be walked again for each of its texts. */
const maxClipDepth = 50;

const quote = 0x22;
const backslash = 0x5c;

interface Open {
  isObject: boolean;
  key: string;
  wantsKey: boolean;
}

/** Walks over JSON that is known to be valid, byte by byte, so that what is kept is kept as it is. */
class Clipper {
  readonly #text: Buffer;
  readonly #open: Open[] = [];
  readonly #parts: Uint8Array[] = [];
  #kept = 0;

  constructor(text: Buffer) {
    this.#text = text;
  }

  run(): Uint8Array {
    for (let at = 0; at < this.#text.length; ) at = this.#step(at);
    if (this.#parts.length === 0) return this.#text;
    this.#parts.push(this.#text.subarray(this.#kept));
    return Buffer.concat(this.#parts);
  }

  /** Gives where to go on. */
  #step(at: number): number {
    const top = this.#open.at(-1);
    switch (this.#text[at]) {
      case 0x7b:
        this.#open.push({ isObject: true, key: "", wantsKey: true });
        break;
      case 0x5b:
        this.#open.push({ isObject: false, key: "", wantsKey: false });
        break;
      case 0x7d:
      case 0x5d:
        this.#open.pop();
        break;
      case 0x2c:
        if (top !== undefined) top.wantsKey = top.isObject;
        break;
      case 0x3a:
        if (top !== undefined) top.wantsKey = false;
        break;
      case quote:
        return this.#string(at, top);
    }
    return at + 1;
  }

  #string(at: number, top: Open | undefined): number {
    const end = this.#endOfString(at + 1) + 1;
    if (top?.wantsKey === true) top.key = JSON.parse(this.#text.toString("utf8", at, end)) as string;
    else if (end - at - 2 >= clipFrom && this.#isCandidate()) this.#clip(at, end);
    return end;
  }

  #endOfString(from: number): number {
    for (let at = this.#text.indexOf(quote, from); ; at = this.#text.indexOf(quote, at + 1)) {
      let slashes = 0;
      while (this.#text[at - 1 - slashes] === backslash) slashes++;
      if (slashes % 2 === 0) return at;
    }
  }

  #isCandidate(): boolean {
    if (this.#open.length > maxClipDepth) return false;
    const path = this.#open.filter(({ isObject }) => isObject).map(({ key }) => key);
    const key = path.at(-1) ?? "";
    // What a tool is asked to do is said nowhere else.
    if ((path[0] === "message" && path[2] === "input") || (path[0] === "request" && path[1] === "input")) return false;
    if (key === "data" || key === "base64") return true;
    return path[0] === "tool_use_result" && path.length > 1 && (key === "originalFile" || key === "content");
  }

  #clip(at: number, end: number): void {
    const key = this.#open.findLast(({ isObject }) => isObject)?.key;
    const value = JSON.parse(this.#text.toString("utf8", at, end)) as string;
    if ((key === "data" || key === "base64") && !/^[A-Za-z0-9+/=_\-\s]+$/.test(value)) return;
    const bytes = Buffer.from(value);
    const hash = createHash("sha256").update(bytes).digest("hex");
    const mark = JSON.stringify(`[clipped by Holdfast: ${bytes.length} bytes, sha256 ${hash}]`);
    this.#parts.push(this.#text.subarray(this.#kept, at), Buffer.from(mark));
    this.#kept = end;
  }
}
