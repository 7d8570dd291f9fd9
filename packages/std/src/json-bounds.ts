/** How much JSON is read before anything looks at what it means. */
export interface JsonBounds {
  /** Of the text, in UTF-8. */
  readonly bytes: number;
  /** Of objects and arrays in one another. */
  readonly depth: number;
  /** Of all objects together. */
  readonly keys: number;
  /** Items of all arrays and members of all objects together, about: each comma and each opening bracket counts. */
  readonly values: number;
}

const words = {
  bytes: (limit: number) => `has more than ${limit} bytes`,
  depth: (limit: number) => `has more than ${limit} objects or lists inside one another`,
  keys: (limit: number) => `has more than ${limit} fields`,
  values: (limit: number) => `has more than ${limit} values`,
} as const satisfies Record<keyof JsonBounds, (limit: number) => string>;

/** The message goes on after "the body" or whatever it was. */
export class JsonBoundsError extends Error {
  override name = "JsonBoundsError";
  readonly bound: keyof JsonBounds;

  constructor(bound: keyof JsonBounds, limit: number) {
    super(words[bound](limit));
    this.bound = bound;
  }
}

/**
 * Counts while the bytes come: what is too much is refused in the middle, before it was held, parsed or validated. It
 * does not say whether the text is JSON at all; the parser does.
 */
export class JsonMeter {
  readonly #bounds: JsonBounds;
  #bytes = 0;
  #depth = 0;
  #keys = 0;
  #values = 0;
  #inString = false;
  #escaped = false;

  constructor(bounds: JsonBounds) {
    this.#bounds = bounds;
  }

  /** Throws a `JsonBoundsError`. */
  push(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    this.#check("bytes", this.#bytes);
    for (let at = 0; at < chunk.length; at++) {
      if (this.#inString) at = this.#string(chunk, at);
      else this.#structure(chunk[at]);
    }
  }

  /** Gives the place of the string's last byte in this chunk. */
  #string(chunk: Uint8Array, from: number): number {
    let at = from;
    let escaped = this.#escaped;
    for (; at < chunk.length; at++) {
      const byte = chunk[at];
      if (escaped) escaped = false;
      else if (byte === 0x5c) escaped = true;
      else if (byte === 0x22) {
        this.#inString = false;
        break;
      }
    }
    this.#escaped = escaped;
    return at;
  }

  #structure(byte: number | undefined): void {
    switch (byte) {
      case 0x22:
        this.#inString = true;
        break;
      case 0x7b:
      case 0x5b:
        this.#check("depth", ++this.#depth);
        this.#check("values", ++this.#values);
        break;
      case 0x7d:
      case 0x5d:
        this.#depth--;
        break;
      case 0x3a:
        this.#check("keys", ++this.#keys);
        break;
      case 0x2c:
        this.#check("values", ++this.#values);
    }
  }

  #check(bound: keyof JsonBounds, count: number): void {
    if (count > this.#bounds[bound]) throw new JsonBoundsError(bound, this.#bounds[bound]);
  }
}

/** Whether a whole text keeps the bounds. */
export function keepsJsonBounds(bytes: Uint8Array, bounds: JsonBounds): boolean {
  try {
    new JsonMeter(bounds).push(bytes);
    return true;
  } catch (error) {
    if (error instanceof JsonBoundsError) return false;
    throw error;
  }
}
