import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { headerBytes, parseQuery, type QueryList } from "../wire/encode.ts";
import { Fault } from "./faults.ts";

/** A request, taken apart once. */
export interface S3Request {
  readonly raw: IncomingMessage;
  /** Whether `x-amz-*` parameters count as headers. */
  readonly hoisted: boolean;
  readonly method: string;
  /** Decoded, begins with a slash. */
  readonly path: string;
  readonly query: QueryList;
  /** Empty for service-level requests. */
  readonly bucket: string;
  /** Empty for bucket-level requests. */
  readonly key: string;
  /** Lower-case name → value; repeated headers joined with a comma. */
  header(name: string): string | undefined;
  param(name: string): string | undefined;
  has(name: string): boolean;
}

const MAX_KEY_BYTES = 1024;

function headerValue(raw: IncomingMessage, name: string): string | undefined {
  return raw.headersDistinct[name]?.join(",");
}

/** `bucket.s3.example` → `bucket`; undefined where the host is a plain endpoint. */
function bucketOfHost(host: string, domains: readonly string[]): string | undefined {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  if (name === "" || isIP(name) !== 0) return undefined;
  const domain = domains.find((d) => name.endsWith("." + d));
  return domain === undefined ? undefined : name.slice(0, -domain.length - 1);
}

function decodeUrl(url: string): { path: string; query: QueryList } {
  try {
    const mark = url.indexOf("?");
    const path = decodeURIComponent(mark < 0 ? url : url.slice(0, mark));
    return { path, query: mark < 0 ? [] : parseQuery(url.slice(mark + 1)) };
  } catch (cause) {
    throw new Fault("InvalidURI", { cause });
  }
}

/** @throws Fault KeyTooLongError */
export function requireKeyLength(key: string): void {
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw new Fault("KeyTooLongError");
}

/** @throws Fault InvalidURI, KeyTooLongError */
export function readRequest(raw: IncomingMessage, domains: readonly string[]): S3Request {
  const url = raw.url ?? "/";
  if (!url.startsWith("/")) throw new Fault("InvalidURI");
  const { path, query } = decodeUrl(url);
  const hosted = bucketOfHost(raw.headers.host ?? "", domains);
  const slash = path.indexOf("/", 1);
  const bucket = hosted ?? path.slice(1, slash < 0 ? undefined : slash);
  const key = hosted === undefined ? (slash < 0 ? "" : path.slice(slash + 1)) : path.slice(1);
  requireKeyLength(key);
  const params = new Map(query);
  return {
    raw,
    hoisted: false,
    method: raw.method ?? "GET",
    path,
    query,
    bucket,
    key,
    header: (name) => headerValue(raw, name),
    param: (name) => params.get(name),
    has: (name) => params.has(name),
  };
}

/** A view of a presigned request in which `x-amz-*` query parameters count as headers, as S3 treats them. */
export function withHoistedHeaders(request: S3Request): S3Request {
  // As a header has it: one character for each byte of UTF-8.
  const hoisted = new Map(request.query.map(([name, value]) => [name.toLowerCase(), headerBytes(value)]));
  return {
    ...request,
    hoisted: true,
    header: (name) => request.header(name) ?? (name.startsWith("x-amz-") ? hoisted.get(name) : undefined),
  };
}

/** Names of all headers with this prefix that the request carries. */
export function headerNames(request: S3Request, prefix: string): string[] {
  const names = Object.keys(request.raw.headers).filter((name) => name.startsWith(prefix));
  if (!request.hoisted) return names;
  const params = request.query.map(([name]) => name.toLowerCase()).filter((name) => name.startsWith(prefix));
  return [...new Set([...names, ...params])];
}
