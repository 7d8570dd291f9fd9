import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import {
  CHECKSUM_ALGORITHMS,
  type Checksum,
  type ChecksumAlgorithm,
  createChecksum,
  isChecksumAlgorithm,
} from "../wire/checksums.ts";
import type { PayloadProof } from "./auth.ts";
import { decodeChunked, type Trailers } from "./chunked.ts";
import { Fault } from "./faults.ts";
import type { S3Request } from "./request.ts";

/** Largest object of a single PUT or part, as on S3. */
export const MAX_OBJECT_BYTES = 5 * 1024 ** 3;
const SLOW_GRACE_MS = 60_000;
const MIN_BYTES_PER_SECOND = 1024;

/** What is known of a body once it was received and everything the client said about it proved true. */
export interface Received {
  readonly sizeBytes: number;
  readonly md5Hex: string;
  /** The checksum that the client sent along, in base64. */
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | undefined;
}

interface Expectation {
  readonly algorithm: ChecksumAlgorithm;
  readonly running: Checksum;
  /** Undefined where it comes as a trailer. */
  readonly value: string | undefined;
}

function lengthOf(request: S3Request, name: string): number | undefined {
  const text = request.header(name);
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new Fault("InvalidArgument", { message: `${name} is not a number of bytes.` });
  return Number(text);
}

function isChunked(proof: PayloadProof): boolean {
  return proof.kind === "signed-chunks" || proof.kind === "unsigned-chunks";
}

/** The length of the data itself; what a client must say before it sends a body. */
export function announcedLength(request: S3Request, proof: PayloadProof): number {
  const length = lengthOf(request, isChunked(proof) ? "x-amz-decoded-content-length" : "content-length");
  if (length === undefined) throw new Fault("MissingContentLength");
  if (length > MAX_OBJECT_BYTES)
    throw new Fault("EntityTooLarge", { details: { MaxSizeAllowed: String(MAX_OBJECT_BYTES) } });
  return length;
}

function expectedChecksum(request: S3Request, proof: PayloadProof): Expectation | undefined {
  const given = CHECKSUM_ALGORITHMS.filter((name) => request.header(`x-amz-checksum-${name}`) !== undefined);
  const trailer = request.header("x-amz-trailer")?.toLowerCase().trim();
  if (given.length + (trailer === undefined ? 0 : 1) > 1) {
    throw new Fault("InvalidRequest", { message: "Only one checksum may be sent." });
  }
  const [algorithm] = given;
  if (algorithm !== undefined) {
    const value = request.header(`x-amz-checksum-${algorithm}`) ?? "";
    const running = createChecksum(algorithm);
    if (Buffer.from(value, "base64").length !== createChecksum(algorithm).digest().length) {
      throw new Fault("InvalidRequest", { message: `Value for x-amz-checksum-${algorithm} header is invalid.` });
    }
    return { algorithm, running, value };
  }
  if (trailer === undefined) return undefined;
  const name = trailer.replace(/^x-amz-checksum-/, "");
  if (!isChunked(proof) || name === trailer || !isChecksumAlgorithm(name)) {
    throw new Fault("InvalidRequest", { message: "The value of x-amz-trailer is not a checksum that can be sent so." });
  }
  return { algorithm: name, running: createChecksum(name), value: undefined };
}

function contentMd5(request: S3Request): string | undefined {
  const text = request.header("content-md5");
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text, "base64");
  if (bytes.length !== 16 || bytes.toString("base64") !== text.trim()) throw new Fault("InvalidDigest");
  return bytes.toString("hex");
}

/** The bytes as they come, refusing a client that sends almost nothing for a long time. */
async function* incoming(request: S3Request, response: ServerResponse): AsyncGenerator<Buffer> {
  if (request.raw.headers.expect !== undefined && !response.headersSent) response.writeContinue();
  const startedMs = performance.now();
  let total = 0;
  try {
    // Not destroyed on an early error: the answer still has to get through the same socket.
    for await (const chunk of request.raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      total += chunk.length;
      const elapsedMs = performance.now() - startedMs;
      if (elapsedMs > SLOW_GRACE_MS && total < (elapsedMs / 1000) * MIN_BYTES_PER_SECOND)
        throw new Fault("RequestTimeout");
      yield chunk;
    }
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault("IncompleteBody", { cause });
  }
}

export interface ReceiveOptions {
  readonly request: S3Request;
  readonly response: ServerResponse;
  readonly proof: PayloadProof;
  /** The checksum among the headers is not the body's. */
  readonly ignoreChecksum?: boolean;
  /** Takes the data; it is only good once `receive` returned. */
  readonly write: (chunk: Buffer) => Promise<void> | undefined;
}

/**
 * Reads a body and checks everything that was said about it: length, SHA-256, chunk signatures, MD5, checksums.
 * @throws Fault for the first claim that is not true
 */
export async function receive(options: ReceiveOptions): Promise<Received> {
  const { request, response, proof, write } = options;
  const announced = announcedLength(request, proof);
  const expectation = options.ignoreChecksum ? undefined : expectedChecksum(request, proof);
  const md5Expected = contentMd5(request);
  const trailers: Trailers = new Map();
  const md5 = createHash("md5");
  const sha256 = proof.kind === "hash" ? createHash("sha256") : undefined;
  const wire = incoming(request, response);
  const chain = proof.kind === "signed-chunks" ? proof.chain : undefined;
  const signedTrailer = proof.kind === "signed-chunks" && proof.trailer;
  let sizeBytes = 0;
  for await (const chunk of isChunked(proof) ? decodeChunked(wire, { chain, signedTrailer, trailers }) : wire) {
    sizeBytes += chunk.length;
    if (sizeBytes > announced) throw new Fault("IncompleteBody");
    md5.update(chunk);
    sha256?.update(chunk);
    expectation?.running.update(chunk);
    const wait = write(chunk);
    if (wait !== undefined) await wait;
  }
  if (sizeBytes !== announced) throw new Fault("IncompleteBody");
  if (proof.kind === "hash" && sha256?.digest("hex") !== proof.sha256) throw new Fault("XAmzContentSHA256Mismatch");
  const md5Hex = md5.digest("hex");
  if (md5Expected !== undefined && md5Expected !== md5Hex) throw new Fault("BadDigest");
  return { sizeBytes, md5Hex, checksum: expectation && verified(expectation, trailers) };
}

function verified(expectation: Expectation, trailers: Trailers): { algorithm: ChecksumAlgorithm; value: string } {
  const { algorithm } = expectation;
  const expected = expectation.value ?? trailers.get(`x-amz-checksum-${algorithm}`);
  if (expected === undefined) {
    throw new Fault("InvalidRequest", {
      message: `The trailer x-amz-checksum-${algorithm} was announced and did not come.`,
    });
  }
  const value = expectation.running.digest().toString("base64");
  if (value !== expected) {
    throw new Fault("BadDigest", {
      message: `The ${algorithm.toUpperCase()} you specified did not match the data received.`,
    });
  }
  return { algorithm, value };
}

/** Reads a small body whole, such as a list of keys. */
export async function receiveText(options: Omit<ReceiveOptions, "write">, limitBytes: number): Promise<string> {
  if (announcedLength(options.request, options.proof) > limitBytes) throw new Fault("EntityTooLarge");
  const chunks: Buffer[] = [];
  await receive({
    ...options,
    write: (chunk) => {
      chunks.push(chunk);
    },
  });
  return Buffer.concat(chunks).toString("utf8");
}
