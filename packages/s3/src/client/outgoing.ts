import { validateHeaderName, validateHeaderValue } from "node:http";
import type { Readable } from "node:stream";
import { headerBytes, type QueryList } from "../wire/encode.ts";
import { EMPTY_SHA256, sha256Hex, UNSIGNED_PAYLOAD } from "../wire/sigv4.ts";
import { S3Error } from "./error.ts";

/** A body of known length that can be made again for a retry. */
export interface StreamBody {
  readonly lengthBytes: number;
  /** In hex; without it the body goes unsigned (but its length is). */
  readonly sha256?: string | undefined;
  open(): Readable | AsyncIterable<Uint8Array>;
}

export interface Outgoing {
  readonly method: string;
  /** Decoded path, begins with a slash. */
  readonly path: string;
  readonly query?: QueryList;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | StreamBody | undefined;
  readonly service?: "s3" | "sts";
  /** False where a second try could do harm or cannot be made. Default true. */
  readonly retry?: boolean;
  readonly bucket?: string | undefined;
  readonly key?: string | undefined;
}

export function isStream(body: Outgoing["body"]): body is StreamBody {
  return typeof body === "object" && "open" in body;
}

/** What is signed of a body. */
export function hashOf(body: Outgoing["body"]): string {
  if (body === undefined) return EMPTY_SHA256;
  return isStream(body) ? (body.sha256 ?? UNSIGNED_PAYLOAD) : sha256Hex(body);
}

export function lengthOf(body: Outgoing["body"]): number | undefined {
  if (body === undefined) return undefined;
  return isStream(body) ? body.lengthBytes : Buffer.byteLength(body);
}

/**
 * What no server would ever see as it is meant.
 * @throws S3Error InvalidArgument
 */
export function requireSendable({ path, query = [], headers = {}, bucket, key }: Omit<Outgoing, "method">): void {
  const refuse = (message: string, cause?: unknown): never => {
    throw new S3Error({ code: "InvalidArgument", status: 0, message, bucket, key, cause });
  };
  // Without its key an address is the bucket's: a delete would be of the bucket.
  if (key === "") refuse("the key is empty");
  if (![path, ...query.flat()].every((text) => text.isWellFormed())) refuse("half a surrogate pair is no text");
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name);
      validateHeaderValue(name, headerBytes(value));
    } catch (cause) {
      refuse(`${JSON.stringify(name)} cannot be sent as a header`, cause);
    }
  }
}

/**
 * The body's bytes, as many as were announced. Fewer would leave the server waiting; what is too much it would take
 * for the connection's next request.
 */
export async function* exactly(body: StreamBody, { bucket, key }: Outgoing): AsyncGenerator<Uint8Array> {
  const { lengthBytes } = body;
  const mismatch = (message: string): S3Error =>
    new S3Error({ code: "BodyLengthMismatch", status: 0, message, bucket, key });
  let total = 0;
  for await (const chunk of body.open() as AsyncIterable<Uint8Array>) {
    total += chunk.length;
    if (total > lengthBytes) throw mismatch(`the body holds more than the ${lengthBytes} bytes announced`);
    yield chunk;
  }
  if (total < lengthBytes) throw mismatch(`the body ended after ${total} of the ${lengthBytes} bytes announced`);
}
