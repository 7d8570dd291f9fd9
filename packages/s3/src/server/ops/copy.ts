import { S3_NAMESPACE, writeXml } from "../../wire/xml.ts";
import { authorize } from "../auth.ts";
import { type OperationContext, objectArn, sendXml, withoutIdleTimeout } from "../context.ts";
import { Fault } from "../faults.ts";
import { requireKeyLength, type S3Request } from "../request.ts";
import type { OpenObject } from "../store/footer.ts";
import type { ObjectAddress } from "../store/store.ts";
import { checkReadConditions } from "./conditions.ts";
import { checksumFields, quote, readMetadata, readWriteCondition, refuseUnsupported } from "./metadata.ts";
import { writeContext } from "./objects.ts";

/** `/bucket/key%20encoded` or without the slash. */
export function copySourceOf(request: S3Request): ObjectAddress {
  const refuse = (message: string): never => {
    throw new Fault("InvalidArgument", { message });
  };
  const raw = (request.header("x-amz-copy-source") ?? "").replace(/^\//, "");
  const mark = raw.indexOf("?");
  if (mark >= 0 && raw.slice(mark) !== "?versionId=null") refuse("There are no object versions here.");
  let decoded: string;
  try {
    // A plus sign is a plus sign here: only %XX is decoded in a path.
    decoded = decodeURIComponent(mark < 0 ? raw : raw.slice(0, mark));
  } catch {
    return refuse("x-amz-copy-source is not properly encoded.");
  }
  const slash = decoded.indexOf("/");
  if (slash <= 0 || slash === decoded.length - 1) refuse("x-amz-copy-source must be bucket/key.");
  const key = decoded.slice(slash + 1);
  requireKeyLength(key);
  return { bucket: decoded.slice(0, slash), key };
}

/** Opens the source with the caller's rights and the request's conditions. The caller disposes of it. */
export async function openCopySource(
  context: OperationContext,
  source: ObjectAddress,
): Promise<OpenObject & { readonly address: ObjectAddress }> {
  const { request, store, auth } = context;
  authorize(auth.caller, "s3:GetObject", { resource: objectArn(source.bucket, source.key) });
  const object = await store.openObject(source);
  if (!object) throw new Fault("NoSuchKey", { details: { Key: source.key } });
  try {
    const conditions = {
      match: request.header("x-amz-copy-source-if-match"),
      noneMatch: request.header("x-amz-copy-source-if-none-match"),
      modifiedSince: request.header("x-amz-copy-source-if-modified-since"),
      unmodifiedSince: request.header("x-amz-copy-source-if-unmodified-since"),
    };
    checkReadConditions(object.info, conditions, "PreconditionFailed");
    return { ...object, address: source };
  } catch (error) {
    await object[Symbol.asyncDispose]();
    throw error;
  }
}

export async function copyObject(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:PutObject", {
    resource: objectArn(request.bucket, request.key),
    context: writeContext(request),
  });
  store.requireBucket(request.bucket);
  refuseUnsupported(request);
  const address = copySourceOf(request);
  const directive = request.header("x-amz-metadata-directive") ?? "COPY";
  if (directive !== "COPY" && directive !== "REPLACE")
    throw new Fault("InvalidArgument", { message: "Unknown metadata directive." });
  const same = address.bucket === request.bucket && address.key === request.key;
  if (same && directive === "COPY") {
    throw new Fault("InvalidRequest", { message: "An object may only be copied to itself with new metadata." });
  }
  await using source = await openCopySource(context, address);
  const replaced =
    directive === "REPLACE" ? { ...source.info, ...readMetadata(request), modifiedMs: context.now() } : undefined;
  const copy = { to: request, info: replaced, condition: readWriteCondition(request, auth.caller) };
  await withoutIdleTimeout(request, () => store.copy(source, copy));
  const info = replaced ?? source.info;
  const fields = [
    ["LastModified", new Date(info.modifiedMs).toISOString()],
    ["ETag", quote(info.etag)],
    ...checksumFields(info.checksum),
  ] as const;
  sendXml(response, writeXml("CopyObjectResult", fields, S3_NAMESPACE));
}
