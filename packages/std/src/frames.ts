/**
 * Frames on a byte stream: two unsigned 32-bit lengths, a JSON header, raw bytes. Engine and keeper, server and guest
 * speak it, each with its own order of lengths; both ends of both use this one codec.
 */
export interface FrameLayout {
  /** For errors: whose frames these are. */
  readonly name: string;
  readonly littleEndian: boolean;
  /**
   * `header-body`: length of the header, length of the body. `rest-header`: length of everything behind itself, length
   * of the header.
   */
  readonly lengths: "header-body" | "rest-header";
  readonly maxHeaderBytes: number;
  readonly maxBodyBytes: number;
}

export interface Frame<T> {
  header: T;
  body: Uint8Array;
  /** The body was over the limit: so many bytes were passed over unread. The stream itself is in order. */
  refusedBytes?: number;
}

/** The sender's fault: nothing was sent, and what is sent otherwise is as good as before. */
export class FrameTooLargeError extends Error {
  override name = "FrameTooLargeError";
  constructor(layout: FrameLayout, part: "header" | "body", bytes: number) {
    const limit = part === "header" ? layout.maxHeaderBytes : layout.maxBodyBytes;
    super(`a ${layout.name} frame's ${part} of ${bytes} bytes is over the limit of ${limit}: send less at once`);
  }
}

/** The stream is not ours, or no longer in step: nothing that follows can be understood. */
export class MalformedFrameError extends Error {
  override name = "MalformedFrameError";
}

/** Large writes go in pieces of this size, so that neither end holds more of them than what is under way. */
export const pieceBytes = 256 * 1024;

/** Nobody sends deeper headers; JSON of many thousand levels overflows the stack of whoever writes it again. */
const maxDepth = 64;
const lengthBytes = 8;
const firstRoomBytes = 64 * 1024;
const empty = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** One frame as bytes. Throws `FrameTooLargeError` when the other side would not take it. */
export function encodeFrame(layout: FrameLayout, header: object, body: Uint8Array = empty): Uint8Array {
  const head = encoder.encode(JSON.stringify(header));
  if (head.length > layout.maxHeaderBytes) throw new FrameTooLargeError(layout, "header", head.length);
  if (body.length > layout.maxBodyBytes) throw new FrameTooLargeError(layout, "body", body.length);
  const frame = new Uint8Array(lengthBytes + head.length + body.length);
  const view = new DataView(frame.buffer);
  const [first, second] =
    layout.lengths === "header-body" ? [head.length, body.length] : [4 + head.length + body.length, head.length];
  view.setUint32(0, first, layout.littleEndian);
  view.setUint32(4, second, layout.littleEndian);
  frame.set(head, lengthBytes);
  frame.set(body, lengthBytes + head.length);
  return frame;
}

/** `bytes` in pieces of at most `size`; nothing is copied. One empty piece of nothing. */
export function* cutIntoPieces(bytes: Uint8Array, size = pieceBytes): Generator<Uint8Array, void, undefined> {
  let at = 0;
  do {
    yield bytes.subarray(at, at + size);
    at += size;
  } while (at < bytes.length);
}

/**
 * Cuts a byte stream into frames, in time and memory linear in what came, however it is cut: a frame that lies in one
 * chunk is not copied, any other byte is copied at most three times. Yields a frame whose body is over the limit without that
 * body; throws `MalformedFrameError` at what cannot be a frame, after the frames before it.
 */
export class FrameDecoder<T extends object> {
  /** Bytes moved so far: the cost of the cutting. */
  copiedBytes = 0;
  readonly #layout: FrameLayout;
  readonly #lengths = new Uint8Array(lengthBytes);
  #haveLengths = 0;
  #headerBytes = 0;
  #bodyBytes = 0;
  /** What is collected of the frame: its header, and its body unless that is refused. */
  #needed = 0;
  #room: Uint8Array = empty;
  #have = 0;
  #skip = 0;
  #broken: MalformedFrameError | undefined;

  constructor(layout: FrameLayout) {
    this.#layout = layout;
  }

  *push(chunk: Uint8Array): Generator<Frame<T>, void, undefined> {
    if (this.#broken !== undefined) throw this.#broken;
    for (let at = 0; at < chunk.length; ) {
      const skipped = Math.min(this.#skip, chunk.length - at);
      this.#skip -= skipped;
      at += skipped;
      at += this.#takeLengths(chunk.subarray(at));
      if (this.#haveLengths < lengthBytes) continue;
      const rest = chunk.subarray(at);
      const whole = this.#take(rest);
      at += Math.min(rest.length, whole.used);
      if (whole.bytes !== undefined) yield this.#finish(whole.bytes);
    }
  }

  #takeLengths(chunk: Uint8Array): number {
    const used = Math.min(lengthBytes - this.#haveLengths, chunk.length);
    if (used === 0) return 0;
    this.#lengths.set(chunk.subarray(0, used), this.#haveLengths);
    this.copiedBytes += used;
    this.#haveLengths += used;
    if (this.#haveLengths === lengthBytes) this.#readLengths();
    return used;
  }

  #readLengths(): void {
    const { littleEndian, lengths, maxHeaderBytes, maxBodyBytes } = this.#layout;
    const view = new DataView(this.#lengths.buffer);
    const first = view.getUint32(0, littleEndian);
    const second = view.getUint32(4, littleEndian);
    [this.#headerBytes, this.#bodyBytes] = lengths === "header-body" ? [first, second] : [second, first - 4 - second];
    if (this.#headerBytes > maxHeaderBytes || this.#bodyBytes < 0) {
      throw this.#malformed(`lengths ${first} and ${second}`);
    }
    this.#needed = this.#headerBytes + (this.#bodyBytes > maxBodyBytes ? 0 : this.#bodyBytes);
  }

  /** How much of `chunk` belongs to the frame, and the frame when that completes it. */
  #take(chunk: Uint8Array): { used: number; bytes: Uint8Array | undefined } {
    const missing = this.#needed - this.#have;
    if (this.#have === 0 && chunk.length >= missing) return { used: missing, bytes: chunk.subarray(0, missing) };
    const used = Math.min(missing, chunk.length);
    this.#makeRoom(this.#have + used);
    this.#room.set(chunk.subarray(0, used), this.#have);
    this.copiedBytes += used;
    this.#have += used;
    return { used, bytes: this.#have === this.#needed ? this.#room.subarray(0, this.#needed) : undefined };
  }

  /** Doubled, not taken as a whole at once: a length alone, without the bytes, takes no memory. */
  #makeRoom(bytes: number): void {
    if (bytes <= this.#room.length) return;
    const grown = new Uint8Array(Math.min(this.#needed, Math.max(bytes, 2 * this.#room.length, firstRoomBytes)));
    grown.set(this.#room.subarray(0, this.#have));
    this.copiedBytes += this.#have;
    this.#room = grown;
  }

  #finish(bytes: Uint8Array): Frame<T> {
    const header = this.#parse(bytes.subarray(0, this.#headerBytes));
    const refusedBytes = this.#headerBytes + this.#bodyBytes - this.#needed;
    this.#room = empty;
    this.#have = 0;
    this.#haveLengths = 0;
    this.#skip = refusedBytes;
    if (refusedBytes > 0) return { header, body: empty, refusedBytes };
    return { header, body: bytes.subarray(this.#headerBytes) };
  }

  #parse(bytes: Uint8Array): T {
    if (isDeeper(bytes, maxDepth)) throw this.#malformed(`its header is nested more than ${maxDepth} deep`);
    let header: unknown;
    try {
      header = JSON.parse(decoder.decode(bytes));
    } catch (error) {
      throw this.#malformed("its header is not JSON", error);
    }
    if (typeof header !== "object" || header === null || Array.isArray(header)) {
      throw this.#malformed("its header is not an object");
    }
    return header as T;
  }

  #malformed(why: string, cause?: unknown): MalformedFrameError {
    this.#broken = new MalformedFrameError(`not a ${this.#layout.name} frame: ${why}`, { cause });
    return this.#broken;
  }
}

/** Whether JSON text nests deeper than `limit`; what is no JSON is left to the parser. */
function isDeeper(json: Uint8Array, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (inString) {
      if (byte === 0x5c) at++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > limit) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return false;
}
