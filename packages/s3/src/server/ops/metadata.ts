import { validateHeaderName, validateHeaderValue } from "node:http";
import { CHECKSUM_ALGORITHMS, isChecksumAlgorithm } from "../../wire/checksums.ts";
import type { Caller } from "../auth.ts";
import { Fault } from "../faults.ts";
import { headerNames, type S3Request } from "../request.ts";
import type { ObjectInfo, StoredChecksum } from "../store/footer.ts";
import type { WriteCondition } from "../store/store.ts";
import type { Upload } from "../store/uploads.ts";

/** Headers that come back with the object as they were sent. */
const KEPT_HEADERS = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
] as const;

const MAX_METADATA_BYTES = 2048;

/** Headers that ask for something we would silently not do. A client is told instead. */
const REFUSED_HEADERS = [
  "x-amz-server-side-encryption",
  "x-amz-copy-source-server-side-encryption",
  "x-amz-tagging",
  "x-amz-object-lock",
  "x-amz-website-redirect-location",
  "x-amz-grant-",
  "x-amz-write-offset-bytes",
  "x-amz-bucket-object-lock-enabled",
  // Conditions of deletes in directory buckets.
  "x-amz-if-match-",
];

/** @throws Fault NotImplemented */
export function refuseUnsupported(request: S3Request): void {
  for (const prefix of REFUSED_HEADERS) {
    const [name] = headerNames(request, prefix);
    if (name !== undefined) throw new Fault("NotImplemented", { message: `This server does not implement ${name}.` });
  }
  const acl = request.header("x-amz-acl");
  if (acl !== undefined && acl !== "private" && acl !== "bucket-owner-full-control") {
    throw new Fault("NotImplemented", { message: "Objects here are always private; send no x-amz-acl." });
  }
  const storage = request.header("x-amz-storage-class");
  if (storage !== undefined && storage !== "STANDARD") {
    throw new Fault("NotImplemented", { message: "The only storage class here is STANDARD." });
  }
}

/** `aws-chunked` describes the transfer, not the object. */
function contentEncoding(value: string): string {
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "aws-chunked" && part !== "")
    .join(",");
}

/**
 * Parameters of a URL may hold what no header can: an object with such metadata could never be answered.
 * @throws Fault InvalidArgument
 */
export function requireHeader(name: string, value: string): void {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch (cause) {
    throw new Fault("InvalidArgument", { message: `${JSON.stringify(name)} cannot be sent as a header.`, cause });
  }
  if (name === "x-amz-meta-") throw new Fault("InvalidArgument", { message: "Metadata needs a name." });
}

/** Standard headers and user metadata of a request that makes an object. */
export function readMetadata(request: S3Request): Pick<ObjectInfo, "headers" | "metadata"> {
  const headers: Record<string, string> = {};
  for (const name of KEPT_HEADERS) {
    const sent = request.header(name);
    const value = name === "content-encoding" && sent !== undefined ? contentEncoding(sent) : sent;
    if (value) headers[name] = value;
  }
  const metadata: Record<string, string> = {};
  let bytes = 0;
  for (const name of headerNames(request, "x-amz-meta-")) {
    const value = request.header(name) ?? "";
    requireHeader(name, value);
    metadata[name.slice("x-amz-meta-".length)] = value;
    bytes += name.length - "x-amz-meta-".length + Buffer.byteLength(value, "latin1");
  }
  if (bytes > MAX_METADATA_BYTES) throw new Fault("MetadataTooLarge");
  return { headers, metadata };
}

/** What an upload says about the checksum of the object to be. */
export function readUploadChecksum(request: S3Request): Upload["checksum"] {
  const algorithm = request.header("x-amz-checksum-algorithm")?.toLowerCase();
  if (algorithm === undefined) return undefined;
  if (!isChecksumAlgorithm(algorithm)) throw new Fault("InvalidRequest", { message: "Unknown checksum algorithm." });
  const asked = request.header("x-amz-checksum-type")?.toUpperCase();
  const type = asked ?? (algorithm === "crc64nvme" ? "FULL_OBJECT" : "COMPOSITE");
  if (type !== "FULL_OBJECT" && type !== "COMPOSITE")
    throw new Fault("InvalidRequest", { message: "Unknown checksum type." });
  const possible = type === "FULL_OBJECT" ? algorithm.startsWith("crc") : algorithm !== "crc64nvme";
  if (!possible) throw new Fault("InvalidRequest", { message: `${algorithm} cannot be a ${type} checksum.` });
  return { algorithm, type };
}

/** Under which the write takes effect: what was asked for the key, and the caller's credentials being worth it still. */
export function readWriteCondition(request: S3Request, caller: Caller): WriteCondition {
  const noneMatch = request.header("if-none-match");
  const match = request.header("if-match");
  if (noneMatch !== undefined && noneMatch !== "*") {
    throw new Fault("NotImplemented", { message: "If-None-Match of a write must be *." });
  }
  return {
    enter: caller.enter,
    ...(noneMatch ? { absent: true } : {}),
    ...(match === undefined ? {} : { etag: unquote(match) }),
  };
}

export function unquote(etag: string): string {
  return etag
    .trim()
    .replace(/^W\//, "")
    .replace(/^"(.*)"$/, "$1");
}

export function quote(etag: string): string {
  return `"${etag}"`;
}

export function checksumHeaders(checksum: StoredChecksum | undefined): Record<string, string> {
  if (!checksum) return {};
  return { [`x-amz-checksum-${checksum.algorithm}`]: checksum.value, "x-amz-checksum-type": checksum.type };
}

/** Names of checksums as they are spelt in XML. */
export function checksumElement(algorithm: StoredChecksum["algorithm"]): string {
  return `Checksum${algorithm.toUpperCase()}`;
}

export function checksumFields(checksum: StoredChecksum | undefined): [string, string][] {
  if (!checksum) return [];
  return [
    [checksumElement(checksum.algorithm), checksum.value],
    ["ChecksumType", checksum.type],
  ];
}

export const CHECKSUM_ELEMENTS = CHECKSUM_ALGORITHMS.map((name) => [name, checksumElement(name)] as const);
