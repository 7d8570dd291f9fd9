import { createHash } from "node:crypto";
import { S3_NAMESPACE, writeXml } from "../../wire/xml.ts";
import { authorize } from "../auth.ts";
import { announcedLength, receive } from "../body.ts";
import { bucketArn, type OperationContext, objectArn, sendEmpty, sendXml, withoutIdleTimeout } from "../context.ts";
import { Fault } from "../faults.ts";
import type { S3Request } from "../request.ts";
import type { ObjectInfo, OpenObject } from "../store/footer.ts";
import type { Sink } from "../store/sink.ts";
import { MAX_PART_NUMBER, type Upload } from "../store/uploads.ts";
import { type ByteRange, parseSourceRange } from "./conditions.ts";
import { copySourceOf, openCopySource } from "./copy.ts";
import { limitParam, listEncoder } from "./list.ts";
import {
  checksumFields,
  checksumHeaders,
  quote,
  readMetadata,
  readUploadChecksum,
  refuseUnsupported,
} from "./metadata.ts";
import { writeContext } from "./objects.ts";

export function allowPut(context: OperationContext): void {
  const { request, auth } = context;
  const access = { resource: objectArn(request.bucket, request.key), context: writeContext(request) };
  authorize(auth.caller, "s3:PutObject", access);
}

export function uploadOf(context: OperationContext): Promise<Upload> {
  return context.uploads.get(context.request, context.request.param("uploadId") ?? "");
}

function partNumberOf(request: S3Request): number {
  const number = Number(request.param("partNumber"));
  if (!Number.isInteger(number) || number < 1 || number > MAX_PART_NUMBER) {
    throw new Fault("InvalidArgument", { message: `Part number must be an integer between 1 and ${MAX_PART_NUMBER}.` });
  }
  return number;
}

export async function createUpload(context: OperationContext): Promise<void> {
  const { request, response, uploads, auth } = context;
  allowPut(context);
  refuseUnsupported(request);
  const checksum = readUploadChecksum(request);
  using _entered = auth.caller.enter();
  const upload = await uploads.create({
    bucket: request.bucket,
    key: request.key,
    startedMs: context.now(),
    ...readMetadata(request),
    ...(checksum ? { checksum } : {}),
  });
  if (checksum) {
    response.setHeader("x-amz-checksum-algorithm", checksum.algorithm.toUpperCase());
    response.setHeader("x-amz-checksum-type", checksum.type);
  }
  const fields = [
    ["Bucket", upload.bucket],
    ["Key", upload.key],
    ["UploadId", upload.id],
  ] as const;
  sendXml(response, writeXml("InitiateMultipartUploadResult", fields, S3_NAMESPACE));
}

export async function uploadPart(context: OperationContext): Promise<void> {
  const { request, response, uploads, store, auth } = context;
  allowPut(context);
  const partNumber = partNumberOf(request);
  const upload = await uploadOf(context);
  await using sink = await store.createSink(announcedLength(request, auth.payload));
  const received = await receive({ request, response, proof: auth.payload, write: (chunk) => sink.write(chunk) });
  const checksum = received.checksum && { ...received.checksum, type: "FULL_OBJECT" as const };
  if (upload.checksum && checksum && upload.checksum.algorithm !== checksum.algorithm) {
    throw new Fault("InvalidRequest", { message: "The part's checksum is of another kind than the upload's." });
  }
  const plain = partInfo(received.sizeBytes, received.md5Hex, context.now());
  const info = checksum ? { ...plain, checksum } : plain;
  using _entered = auth.caller.enter();
  await withoutIdleTimeout(request, () => uploads.putPart(upload, { partNumber, sink, info }));
  const { "x-amz-checksum-type": _type, ...sums } = checksumHeaders(checksum);
  sendEmpty(response, 200, { etag: quote(info.etag), ...sums });
}

function partInfo(sizeBytes: number, etag: string, modifiedMs: number): ObjectInfo {
  return { sizeBytes, etag, modifiedMs, headers: {}, metadata: {} };
}

async function pour(source: OpenObject, sink: Sink, range: ByteRange): Promise<string> {
  const md5 = createHash("md5");
  for (let at = range.start; at <= range.end; ) {
    const length = Math.min(1024 * 1024, range.end - at + 1);
    const { bytesRead, buffer } = await source.handle.read(Buffer.allocUnsafe(length), 0, length, at);
    if (bytesRead === 0) throw new Error("object file ended early");
    const chunk = buffer.subarray(0, bytesRead);
    md5.update(chunk);
    await sink.write(chunk);
    at += bytesRead;
  }
  return md5.digest("hex");
}

export async function uploadPartCopy(context: OperationContext): Promise<void> {
  const { request, response, uploads, store, auth } = context;
  allowPut(context);
  const partNumber = partNumberOf(request);
  const upload = await uploadOf(context);
  await using source = await openCopySource(context, copySourceOf(request));
  const { sizeBytes } = source.info;
  const asked = request.header("x-amz-copy-source-range");
  const range = asked === undefined ? { start: 0, end: sizeBytes - 1 } : parseSourceRange(asked, sizeBytes);
  await using sink = await store.createSink(range.end - range.start + 1);
  const info = await withoutIdleTimeout(request, async () => {
    const poured = partInfo(range.end - range.start + 1, await pour(source, sink, range), context.now());
    using _entered = auth.caller.enter();
    await uploads.putPart(upload, { partNumber, sink, info: poured });
    return poured;
  });
  const fields = [
    ["LastModified", new Date(info.modifiedMs).toISOString()],
    ["ETag", quote(info.etag)],
  ] as const;
  sendXml(response, writeXml("CopyPartResult", fields, S3_NAMESPACE));
}

export async function abortUpload(context: OperationContext): Promise<void> {
  const { request, response, uploads, auth } = context;
  authorize(auth.caller, "s3:AbortMultipartUpload", { resource: objectArn(request.bucket, request.key) });
  const upload = await uploadOf(context);
  using _entered = auth.caller.enter();
  await uploads.abort(upload);
  sendEmpty(response, 204);
}

const OWNER = [
  ["ID", "holdfast"],
  ["DisplayName", "holdfast"],
] as const;

function partMarkerOf(request: S3Request): number {
  const text = request.param("part-number-marker") ?? "";
  if (!/^\d{0,9}$/.test(text)) throw new Fault("InvalidArgument", { message: "part-number-marker must be a number." });
  return Number(text);
}

export async function listParts(context: OperationContext): Promise<void> {
  const { request, response, uploads, auth } = context;
  authorize(auth.caller, "s3:ListMultipartUploadParts", { resource: objectArn(request.bucket, request.key) });
  const upload = await uploadOf(context);
  const maxParts = limitParam(request, "max-parts");
  const marker = partMarkerOf(request);
  const all = (await uploads.parts(upload)).filter((part) => part.partNumber > marker);
  const page = all.slice(0, maxParts);
  const fields = [
    ["Bucket", upload.bucket],
    ["Key", upload.key],
    ["UploadId", upload.id],
    ["Initiator", OWNER],
    ["Owner", OWNER],
    ["StorageClass", "STANDARD"],
    ["PartNumberMarker", marker],
    ["NextPartNumberMarker", page.at(-1)?.partNumber],
    ["MaxParts", maxParts],
    ["IsTruncated", maxParts > 0 && all.length > page.length],
    ["ChecksumAlgorithm", upload.checksum?.algorithm.toUpperCase()],
    ["ChecksumType", upload.checksum?.type],
    ...page.map(
      (part) =>
        [
          "Part",
          [
            ["PartNumber", part.partNumber],
            ["LastModified", new Date(part.modifiedMs).toISOString()],
            ["ETag", quote(part.etag)],
            ["Size", part.sizeBytes],
            ...checksumFields(part.checksum).slice(0, 1),
          ],
        ] as const,
    ),
  ] as const;
  sendXml(response, writeXml("ListPartsResult", fields, S3_NAMESPACE));
}

export async function listUploads(context: OperationContext): Promise<void> {
  const { request, response, uploads, auth } = context;
  const prefix = request.param("prefix") ?? "";
  const access = { resource: bucketArn(request.bucket), context: { "s3:prefix": prefix } };
  authorize(auth.caller, "s3:ListBucketMultipartUploads", access);
  if (request.param("delimiter"))
    throw new Fault("NotImplemented", { message: "Uploads are listed without delimiter." });
  const encode = listEncoder(request);
  const maxUploads = limitParam(request, "max-uploads");
  const keyMarker = request.param("key-marker") ?? "";
  const idMarker = request.param("upload-id-marker") ?? "";
  const matching = (await uploads.list(request.bucket)).filter((upload) => upload.key.startsWith(prefix));
  const start = keyMarker === "" ? 0 : startAfterMarker(matching, keyMarker, idMarker);
  const page = matching.slice(start, start + maxUploads);
  const truncated = maxUploads > 0 && matching.length > start + page.length;
  const last = page.at(-1);
  const fields = [
    ["Bucket", request.bucket],
    ["KeyMarker", encode(keyMarker)],
    ["UploadIdMarker", idMarker],
    ["NextKeyMarker", truncated && last ? encode(last.key) : undefined],
    ["NextUploadIdMarker", truncated ? last?.id : undefined],
    ["Prefix", encode(prefix)],
    ["EncodingType", request.param("encoding-type")],
    ["MaxUploads", maxUploads],
    ["IsTruncated", truncated],
    ...page.map(
      (upload) =>
        [
          "Upload",
          [
            ["Key", encode(upload.key)],
            ["UploadId", upload.id],
            ["Initiator", OWNER],
            ["Owner", OWNER],
            ["StorageClass", "STANDARD"],
            ["Initiated", new Date(upload.startedMs).toISOString()],
          ],
        ] as const,
    ),
  ] as const;
  sendXml(response, writeXml("ListMultipartUploadsResult", fields, S3_NAMESPACE));
}

function startAfterMarker(uploads: readonly Upload[], keyMarker: string, idMarker: string): number {
  const marker = Buffer.from(keyMarker);
  const next = uploads.findIndex(({ key, id }) => {
    const order = Buffer.compare(Buffer.from(key), marker);
    // By the id's place, not by finding it: the upload may be gone, and those of the same key behind it are not.
    return order > 0 || (order === 0 && idMarker !== "" && id > idMarker);
  });
  return next < 0 ? uploads.length : next;
}
