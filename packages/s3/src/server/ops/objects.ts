import type { ServerResponse } from "node:http";
import { S3_NAMESPACE, writeXml } from "../../wire/xml.ts";
import { authorize } from "../auth.ts";
import { announcedLength, receive } from "../body.ts";
import { type OperationContext, objectArn, sendEmpty, sendXml, withoutIdleTimeout } from "../context.ts";
import { Fault } from "../faults.ts";
import type { S3Request } from "../request.ts";
import type { ObjectInfo, OpenObject } from "../store/footer.ts";
import { type ByteRange, checkReadConditions, parseRange, type ReadConditions } from "./conditions.ts";
import {
  checksumHeaders,
  quote,
  readMetadata,
  readWriteCondition,
  refuseUnsupported,
  requireHeader,
} from "./metadata.ts";

const READ_BYTES = 256 * 1024;

/** Context that policies may ask about for a write. */
export function writeContext(request: S3Request): Record<string, string> {
  const noneMatch = request.header("if-none-match");
  return noneMatch === undefined ? {} : { "s3:if-none-match": noneMatch };
}

export async function putObject(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:PutObject", {
    resource: objectArn(request.bucket, request.key),
    context: writeContext(request),
  });
  store.requireBucket(request.bucket);
  refuseUnsupported(request);
  const metadata = readMetadata(request);
  const condition = readWriteCondition(request, auth.caller);
  if (condition.absent && (await store.info(request))) {
    // Checked again with the commit; here it saves the client the upload.
    throw new Fault("PreconditionFailed", { details: { Condition: "If-None-Match" } });
  }
  await using sink = await store.createSink(announcedLength(request, auth.payload));
  const received = await receive({ request, response, proof: auth.payload, write: (chunk) => sink.write(chunk) });
  const checksum = received.checksum && { ...received.checksum, type: "FULL_OBJECT" as const };
  const info: ObjectInfo = {
    sizeBytes: received.sizeBytes,
    etag: received.md5Hex,
    modifiedMs: context.now(),
    ...metadata,
    ...(checksum ? { checksum } : {}),
  };
  await withoutIdleTimeout(request, () => store.commit(request, { sink, info, condition }));
  sendEmpty(response, 200, { etag: quote(info.etag), ...checksumHeaders(checksum) });
}

function readConditions(request: S3Request): ReadConditions {
  return {
    match: request.header("if-match"),
    noneMatch: request.header("if-none-match"),
    modifiedSince: request.header("if-modified-since"),
    unmodifiedSince: request.header("if-unmodified-since"),
  };
}

/** Values that a signed GET may put in place of the stored headers. */
const OVERRIDES = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
];

function objectHeaders(request: S3Request, info: ObjectInfo): Record<string, string> {
  const headers: Record<string, string> = {
    "content-type": "binary/octet-stream",
    ...info.headers,
    "accept-ranges": "bytes",
    etag: quote(info.etag),
    "last-modified": new Date(info.modifiedMs).toUTCString(),
  };
  for (const [name, value] of Object.entries(info.metadata)) headers[`x-amz-meta-${name}`] = value;
  for (const name of OVERRIDES) {
    const value = request.param(`response-${name}`);
    if (value === undefined) continue;
    requireHeader(name, value);
    headers[name] = value;
  }
  return headers;
}

/** A range counts only where If-Range names the object as it is. */
function rangeOf(request: S3Request, info: ObjectInfo): ByteRange | undefined {
  const ifRange = request.header("if-range");
  if (
    ifRange !== undefined &&
    ifRange !== quote(info.etag) &&
    Date.parse(ifRange) !== Math.floor(info.modifiedMs / 1000) * 1000
  ) {
    return undefined;
  }
  return parseRange(request.header("range"), info.sizeBytes);
}

export async function getObject(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:GetObject", { resource: objectArn(request.bucket, request.key) });
  await using object = await store.openObject(request);
  if (!object) throw new Fault("NoSuchKey", { details: { Key: request.key } });
  const { info } = object;
  checkReadConditions(info, readConditions(request), "NotModified");
  const range = rangeOf(request, info);
  const headers = objectHeaders(request, info);
  if (range) headers["content-range"] = `bytes ${range.start}-${range.end}/${info.sizeBytes}`;
  else if (request.header("x-amz-checksum-mode")?.toUpperCase() === "ENABLED") {
    Object.assign(headers, checksumHeaders(info.checksum));
  }
  const { start, end } = range ?? { start: 0, end: info.sizeBytes - 1 };
  headers["content-length"] = String(end - start + 1);
  response.writeHead(range ? 206 : 200, headers);
  if (request.method === "HEAD") response.end();
  else if (object.data) response.end(object.data.subarray(start, end + 1));
  else await sendRange(object, response, { start, end });
}

/** Hands a chunk to the socket; settles when its memory may be used again, or the client is gone. */
function sent(response: ServerResponse, chunk: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = (): void => {
    response.off("close", done);
    resolve();
  };
  response.once("close", done);
  response.write(chunk, done);
  return promise;
}

/** Two buffers for any length: one is read into while the other is on its way. */
async function sendRange(object: OpenObject, response: ServerResponse, range: ByteRange): Promise<void> {
  const size = Math.min(READ_BYTES, range.end - range.start + 1);
  const slots = [0, 1].map(() => ({ buffer: Buffer.allocUnsafeSlow(size), free: Promise.resolve() }));
  for (let at = range.start, turn = 0; at <= range.end; turn++) {
    const slot = slots[turn % 2];
    if (!slot) return;
    await slot.free;
    if (response.destroyed) return;
    const length = Math.min(size, range.end - at + 1);
    const { bytesRead } = await object.handle.read(slot.buffer, 0, length, at);
    if (bytesRead === 0) throw new Error("object file ended early");
    at += bytesRead;
    slot.free = sent(response, slot.buffer.subarray(0, bytesRead));
  }
  await Promise.all(slots.map((slot) => slot.free));
  response.end();
}

export async function deleteObject(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:DeleteObject", { resource: objectArn(request.bucket, request.key) });
  refuseUnsupported(request);
  await store.delete(request, readWriteCondition(request, auth.caller));
  sendEmpty(response, 204);
}

/** No object has tags here, and clients that copy in parts ask; setting some is refused elsewhere. */
export async function getObjectTagging(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:GetObjectTagging", { resource: objectArn(request.bucket, request.key) });
  if (!(await store.info(request))) throw new Fault("NoSuchKey", { details: { Key: request.key } });
  sendXml(response, writeXml("Tagging", [["TagSet", []]], S3_NAMESPACE));
}
