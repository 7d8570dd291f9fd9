import { createHash, timingSafeEqual } from "node:crypto";
import { EMPTY_SHA256, hmac, scopeText, sha256Hex } from "../wire/sigv4.ts";
import type { ChunkChain } from "./auth.ts";
import { Fault } from "./faults.ts";

const MAX_LINE_BYTES = 4096;
const MAX_TRAILER_BYTES = 16 * 1024;

/** What follows the last chunk. Names in lower case. */
export type Trailers = Map<string, string>;

export interface ChunkedOptions {
  /** Present where every chunk is signed. */
  readonly chain: ChunkChain | undefined;
  /** Whether signed trailers follow. */
  readonly signedTrailer: boolean;
  /** Filled when the body has been read to its end. */
  readonly trailers: Trailers;
}

/** Takes lines and counted bytes from a stream of chunks, copying only where a line spans two of them. */
class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #current: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async #fill(): Promise<void> {
    while (this.#current.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) throw new Fault("IncompleteBody");
      this.#current = next.value;
    }
  }

  /** Up to and without CRLF. */
  async line(): Promise<string> {
    let text = "";
    for (;;) {
      await this.#fill();
      const end = this.#current.indexOf(0x0a);
      const taken = end < 0 ? this.#current.length : end + 1;
      text += this.#current.toString("latin1", 0, taken);
      this.#current = this.#current.subarray(taken);
      if (text.length > MAX_LINE_BYTES) throw new Fault("InvalidRequest", { message: "A chunk header is too long." });
      if (end >= 0) return text.replace(/\r?\n$/, "");
    }
  }

  async *bytes(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      await this.#fill();
      const piece = this.#current.subarray(0, left);
      this.#current = this.#current.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async expectEnd(): Promise<void> {
    if (this.#current.length > 0) throw new Fault("IncompleteBody");
    for (;;) {
      const next = await this.#source.next();
      if (next.done === true) return;
      if (next.value.length > 0) throw new Fault("IncompleteBody");
    }
  }
}

class SignatureChain {
  readonly #chain: ChunkChain;
  #previous: string;

  constructor(chain: ChunkChain) {
    this.#chain = chain;
    this.#previous = chain.seedSignature;
  }

  check(algorithm: string, parts: readonly string[], signature: string | undefined): void {
    const { key, date, scope } = this.#chain;
    const text = [algorithm, date, scopeText(scope), this.#previous, ...parts].join("\n");
    const expected = hmac(key, text);
    const given = Buffer.from(signature ?? "", "hex");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new Fault("SignatureDoesNotMatch", { message: "The signature of a chunk does not match." });
    }
    this.#previous = expected.toString("hex");
  }
}

function parseChunkHeader(line: string): { size: number; signature: string | undefined } {
  const match = /^([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line.trim());
  if (!match?.[1]) throw new Fault("InvalidRequest", { message: "A chunk header is malformed." });
  return { size: Number.parseInt(match[1], 16), signature: match[2] };
}

async function readTrailers(
  reader: ByteReader,
  options: ChunkedOptions,
  chain: SignatureChain | undefined,
): Promise<void> {
  let canonical = "";
  let total = 0;
  for (let line = await reader.line(); line !== ""; line = await reader.line()) {
    total += line.length;
    const colon = line.indexOf(":");
    if (colon <= 0 || total > MAX_TRAILER_BYTES)
      throw new Fault("InvalidRequest", { message: "A trailer is malformed." });
    const name = line.slice(0, colon).toLowerCase().trim();
    const value = line.slice(colon + 1).trim();
    options.trailers.set(name, value);
    if (name !== "x-amz-trailer-signature") canonical += `${name}:${value}\n`;
  }
  if (chain && options.signedTrailer) {
    chain.check("AWS4-HMAC-SHA256-TRAILER", [sha256Hex(canonical)], options.trailers.get("x-amz-trailer-signature"));
  }
}

/**
 * Decodes an `aws-chunked` body. Data is given before its chunk's signature is known: the caller must not keep it
 * until this ended without an error.
 * @throws Fault SignatureDoesNotMatch, IncompleteBody, InvalidRequest
 */
export async function* decodeChunked(source: AsyncIterable<Buffer>, options: ChunkedOptions): AsyncGenerator<Buffer> {
  const reader = new ByteReader(source);
  const chain = options.chain ? new SignatureChain(options.chain) : undefined;
  for (;;) {
    const { size, signature } = parseChunkHeader(await reader.line());
    const digest = chain ? createHash("sha256") : undefined;
    for await (const piece of reader.bytes(size)) {
      digest?.update(piece);
      yield piece;
    }
    chain?.check("AWS4-HMAC-SHA256-PAYLOAD", [EMPTY_SHA256, digest?.digest("hex") ?? ""], signature);
    if (size === 0) break;
    if ((await reader.line()) !== "") throw new Fault("IncompleteBody");
  }
  await readTrailers(reader, options, chain);
  await reader.expectEnd();
}
