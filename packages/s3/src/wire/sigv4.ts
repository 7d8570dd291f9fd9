import { createHmac, hash } from "node:crypto";
import { canonicalQuery, type QueryList } from "./encode.ts";

/** Long-lived or temporary keys. `sessionToken` is present on temporary ones only. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** `20261123/us-east-1/s3`: what a signing key is good for. */
export interface Scope {
  /** `YYYYMMDD` */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";
export const ALGORITHM = "AWS4-HMAC-SHA256";

export function sha256Hex(data: string | Uint8Array): string {
  return hash("sha256", data, "hex");
}

export function hmac(key: string | Uint8Array, data: string): Buffer {
  return createHmac("sha256", key).update(data).digest();
}

export function scopeText(scope: Scope): string {
  return `${scope.date}/${scope.region}/${scope.service}/aws4_request`;
}

/** `20261123T215227Z` */
export function amzDate(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

/** Milliseconds since the epoch, or undefined where the text is not `YYYYMMDDTHHMMSSZ`. */
export function parseAmzDate(text: string): number | undefined {
  const m = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (!m) return undefined;
  const timeMs = Date.parse(`${m[1]}-${m[2]}-${m[3]}T${m[4]}:${m[5]}:${m[6]}Z`);
  return Number.isNaN(timeMs) ? undefined : timeMs;
}

const keyCache = new Map<string, Buffer>();
const KEY_CACHE_ENTRIES = 256;

/** The derived signing key. Cached: the four HMACs cost more than the rest of a signature. */
export function signingKey(secret: string, scope: Scope): Buffer {
  const id = `${secret}\n${scopeText(scope)}`;
  const known = keyCache.get(id);
  if (known) return known;
  const key = hmac(hmac(hmac(hmac("AWS4" + secret, scope.date), scope.region), scope.service), "aws4_request");
  if (keyCache.size >= KEY_CACHE_ENTRIES) {
    const oldest = keyCache.keys().next().value;
    if (oldest !== undefined) keyCache.delete(oldest);
  }
  keyCache.set(id, key);
  return key;
}

/** What a signature covers. `path` is already canonical (encoded); header names are lower case. */
export interface SignedParts {
  readonly method: string;
  readonly path: string;
  readonly query: QueryList;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly payloadHash: string;
}

export function canonicalRequest(parts: SignedParts): string {
  const headers = [...parts.headers].sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  return [
    parts.method,
    parts.path,
    canonicalQuery(parts.query),
    ...headers.map(([name, value]) => `${name}:${value.replace(/[ \t]+/g, " ").replace(/^ | $/g, "")}`),
    "",
    headers.map(([name]) => name).join(";"),
    parts.payloadHash,
  ].join("\n");
}

export function stringToSign(date: string, scope: Scope, canonical: string): string {
  return `${ALGORITHM}\n${date}\n${scopeText(scope)}\n${sha256Hex(canonical)}`;
}

export interface SignOptions extends SignedParts {
  readonly credentials: Credentials;
  readonly scope: Scope;
  /** `YYYYMMDDTHHMMSSZ` */
  readonly date: string;
}

/** The hexadecimal signature of a request. */
export function sign(options: SignOptions): string {
  const text = stringToSign(options.date, options.scope, canonicalRequest(options));
  return hmac(signingKey(options.credentials.secretAccessKey, options.scope), text).toString("hex");
}

/** The value of an `Authorization` header. */
export function authorizationHeader(options: SignOptions): string {
  const names = options.headers.map(([name]) => name).sort();
  const credential = `${options.credentials.accessKeyId}/${scopeText(options.scope)}`;
  return `${ALGORITHM} Credential=${credential}, SignedHeaders=${names.join(";")}, Signature=${sign(options)}`;
}
