import { createHash, createHmac } from "node:crypto";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import type { Credentials } from "../src/index.ts";
import { REGION, ROOT } from "./_server.ts";

export interface RawRequest {
  readonly method: string;
  /** Path and query exactly as they go over the wire. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

export interface RawAnswer {
  readonly status: number;
  /** S3's error code, where there is one. */
  readonly code: string | undefined;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
}

/** Exactly these bytes; the answer's body as text. */
export function sendRaw(url: string, { method, path, headers, body }: RawRequest): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const request = httpRequest({ method, path, headers, hostname, port, maxHeaderSize: 128 * 1024 }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1];
        resolve({ status: answer.statusCode ?? 0, code, body: text, headers: answer.headers });
      });
    });
    request.on("error", reject);
    // Not as text: Node would then send the headers in UTF-8, too.
    request.end(body === undefined ? undefined : Buffer.from(body));
  });
}

/** What is signed, spelt by the caller: the tests share no canonicalisation with what they test. */
export interface Canonical {
  readonly method: string;
  /** Encoded. */
  readonly path: string;
  /** Encoded and sorted. */
  readonly query?: string;
  /** As they are to be signed; lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly payloadHash: string;
  readonly atMs?: number;
  readonly credentials?: Credentials;
  readonly region?: string;
  readonly service?: string;
}

export const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const hmacOf = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();

/** `20261123T215227Z` */
export function dateOf(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
}

export interface Signature {
  readonly hex: string;
  readonly date: string;
  readonly scope: string;
  readonly signedHeaders: string;
  readonly credential: string;
  readonly key: Buffer;
  /** Value of the header of this name. */
  readonly authorization: string;
}

/** Signature Version 4, written out as its documentation has it. */
export function signatureOf(canonical: Canonical): Signature {
  const { method, path, query = "", headers, payloadHash, credentials = ROOT } = canonical;
  const date = dateOf(canonical.atMs ?? Date.now());
  const [day, region, service] = [date.slice(0, 8), canonical.region ?? REGION, canonical.service ?? "s3"];
  const scope = `${day}/${region}/${service}/aws4_request`;
  const names = Object.keys(headers).sort();
  const signedHeaders = names.join(";");
  const lines = names.map((name) => `${name}:${headers[name] ?? ""}\n`).join("");
  const text = [method, path, query, lines, signedHeaders, payloadHash].join("\n");
  const steps = [day, region, service, "aws4_request"];
  const key = steps.reduce<Buffer>(hmacOf, Buffer.from(`AWS4${credentials.secretAccessKey}`));
  const hex = hmacOf(key, ["AWS4-HMAC-SHA256", date, scope, sha256(text)].join("\n")).toString("hex");
  const credential = `${credentials.accessKeyId}/${scope}`;
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders}, Signature=${hex}`;
  return { hex, date, scope, signedHeaders, credential, key, authorization };
}

export interface SignedRequest extends RawRequest {
  readonly credentials?: Credentials;
  readonly payloadHash?: string;
  readonly atMs?: number;
  /** Where they differ from what is sent. */
  readonly canonical?: { readonly path?: string; readonly query?: string; readonly headers?: Record<string, string> };
}

/** All headers of a request signed in its header. */
export function signedHeaders(url: string, request: SignedRequest): Record<string, string> {
  const { method, path, body = "", credentials = ROOT, atMs = Date.now(), canonical = {} } = request;
  const payloadHash = request.payloadHash ?? sha256(body);
  const token = credentials.sessionToken === undefined ? {} : { "x-amz-security-token": credentials.sessionToken };
  const headers: Record<string, string> = {
    host: new URL(url).host,
    "x-amz-date": dateOf(atMs),
    "x-amz-content-sha256": payloadHash,
    ...token,
    ...request.headers,
  };
  const [plainPath = "", plainQuery = ""] = path.split("?");
  const { authorization } = signatureOf({
    method,
    path: canonical.path ?? plainPath,
    query: canonical.query ?? plainQuery,
    headers: { ...headers, ...canonical.headers },
    payloadHash,
    atMs,
    credentials,
  });
  return { ...headers, authorization };
}

/** Signs and sends. */
export function sendSigned(url: string, request: SignedRequest): Promise<RawAnswer> {
  const { method, path, body } = request;
  const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
  const headers = { ...length, ...signedHeaders(url, request) };
  return sendRaw(url, { method, path, headers, ...(body === undefined ? {} : { body }) });
}

export interface Chunks {
  readonly signature: Signature;
  readonly chunks: readonly Buffer[];
  /** `name:value` of what follows the last chunk; signed as well where there is one. */
  readonly trailer?: string;
}

const EMPTY = sha256("");

/** An aws-chunked body with signed chunks, as the SDKs of other languages send it. */
export function signedChunks({ signature, chunks, trailer }: Chunks): Buffer {
  const { key, date, scope } = signature;
  let previous = signature.hex;
  const out: Buffer[] = [];
  for (const chunk of [...chunks, Buffer.alloc(0)]) {
    const text = ["AWS4-HMAC-SHA256-PAYLOAD", date, scope, previous, EMPTY, sha256(chunk)].join("\n");
    previous = hmacOf(key, text).toString("hex");
    out.push(Buffer.from(`${chunk.length.toString(16)};chunk-signature=${previous}\r\n`), chunk);
    if (chunk.length > 0) out.push(Buffer.from("\r\n"));
  }
  if (trailer !== undefined) {
    const text = ["AWS4-HMAC-SHA256-TRAILER", date, scope, previous, sha256(`${trailer}\n`)].join("\n");
    out.push(Buffer.from(`${trailer}\r\nx-amz-trailer-signature:${hmacOf(key, text).toString("hex")}\r\n`));
  }
  out.push(Buffer.from("\r\n"));
  return Buffer.concat(out);
}

/** The same without signatures. */
export function unsignedChunks(chunks: readonly Buffer[], trailer?: string): Buffer {
  const parts = chunks.flatMap((chunk) => [
    Buffer.from(`${chunk.length.toString(16)}\r\n`),
    chunk,
    Buffer.from("\r\n"),
  ]);
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailer === undefined ? "" : `${trailer}\r\n`}\r\n`)]);
}
