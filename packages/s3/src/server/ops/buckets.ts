import { isIP } from "node:net";
import {
  childrenNamed,
  childText,
  parseXml,
  S3_NAMESPACE,
  writeXml,
  XmlError,
  type XmlFields,
} from "../../wire/xml.ts";
import { authorize } from "../auth.ts";
import { receiveText } from "../body.ts";
import { ALL_BUCKETS, bucketArn, type OperationContext, objectArn, sendEmpty, sendXml } from "../context.ts";
import { Fault, toFault } from "../faults.ts";
import { requireKeyLength } from "../request.ts";
import { refuseUnsupported } from "./metadata.ts";

const MAX_DELETE_BYTES = 4 * 1024 * 1024;
const MAX_DELETE_KEYS = 1000;

export async function listBuckets(context: OperationContext): Promise<void> {
  const { response, store, auth } = context;
  authorize(auth.caller, "s3:ListAllMyBuckets", { resource: ALL_BUCKETS });
  const buckets: XmlFields = store.buckets().map(
    ({ name, createdMs }) =>
      [
        "Bucket",
        [
          ["Name", name],
          ["CreationDate", new Date(createdMs).toISOString()],
        ] as XmlFields,
      ] as const,
  );
  const fields: XmlFields = [
    ["Owner", [["ID", "holdfast"]]],
    ["Buckets", buckets],
  ];
  sendXml(response, writeXml("ListAllMyBucketsResult", fields, S3_NAMESPACE));
}

/** S3's naming rules; they also make the name safe as a directory's. */
export function isBucketName(name: string): boolean {
  return /^[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]$/.test(name) && !/\.\.|\.-|-\./.test(name) && isIP(name) === 0;
}

export async function createBucket(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:CreateBucket", { resource: bucketArn(request.bucket) });
  if (!isBucketName(request.bucket)) throw new Fault("InvalidBucketName", { details: { BucketName: request.bucket } });
  refuseUnsupported(request);
  const length = Number(request.header("content-length") ?? 0);
  // The body may name a region; there is only this one.
  if (length > 0) await receiveText({ request, response, proof: auth.payload }, MAX_DELETE_BYTES);
  using _entered = auth.caller.enter();
  if (!(await store.createBucket(request.bucket))) {
    throw new Fault("BucketAlreadyOwnedByYou", { details: { BucketName: request.bucket } });
  }
  sendEmpty(response, 200, { location: `/${request.bucket}` });
}

export async function deleteBucket(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:DeleteBucket", { resource: bucketArn(request.bucket) });
  using _entered = auth.caller.enter();
  await store.deleteBucket(request.bucket);
  sendEmpty(response, 204);
}

export async function headBucket(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:ListBucket", { resource: bucketArn(request.bucket) });
  store.requireBucket(request.bucket);
  sendEmpty(response, 200, { "x-amz-bucket-region": context.region });
}

export async function getBucketLocation(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  authorize(auth.caller, "s3:GetBucketLocation", { resource: bucketArn(request.bucket) });
  store.requireBucket(request.bucket);
  // us-east-1 is written as nothing, for historical reasons.
  const region = context.region === "us-east-1" ? "" : context.region;
  const xml = writeXml("LocationConstraint", [], S3_NAMESPACE);
  sendXml(response, xml.replace("></", `>${region}</`));
}

interface DeleteRequest {
  readonly keys: readonly { readonly key: string; readonly etag: string | undefined }[];
  readonly quiet: boolean;
}

function parseDelete(text: string): DeleteRequest {
  try {
    const root = parseXml(text);
    const keys = childrenNamed(root, "Object").map((object) => {
      const version = childText(object, "VersionId");
      if (version !== undefined && version !== "" && version !== "null") {
        throw new Fault("NotImplemented", { message: "There are no object versions here." });
      }
      // Conditions that S3 knows for directory buckets only: deleting without asking them would be worse than refusing.
      for (const name of ["Size", "LastModifiedTime"]) {
        if (childText(object, name) !== undefined) {
          throw new Fault("NotImplemented", { message: `This server does not know ${name} as a condition; use ETag.` });
        }
      }
      return { key: childText(object, "Key") ?? "", etag: childText(object, "ETag")?.replace(/^"(.*)"$/, "$1") };
    });
    const valid = root.name === "Delete" && keys.length > 0 && keys.length <= MAX_DELETE_KEYS;
    if (valid && keys.every(({ key }) => key !== "")) return { keys, quiet: childText(root, "Quiet") === "true" };
  } catch (cause) {
    if (!(cause instanceof XmlError)) throw cause;
    throw new Fault("MalformedXML", { cause });
  }
  throw new Fault("MalformedXML");
}

export async function deleteObjects(context: OperationContext): Promise<void> {
  const { request, response, store, auth } = context;
  store.requireBucket(request.bucket);
  const text = await receiveText({ request, response, proof: auth.payload }, MAX_DELETE_BYTES);
  const { keys, quiet } = parseDelete(text);
  const results: [string, XmlFields][] = [];
  for (const { key, etag } of keys) {
    try {
      authorize(auth.caller, "s3:DeleteObject", { resource: objectArn(request.bucket, key) });
      requireKeyLength(key);
      const { enter } = auth.caller;
      await store.delete({ bucket: request.bucket, key }, etag === undefined ? { enter } : { enter, etag });
      if (!quiet) results.push(["Deleted", [["Key", key]]]);
    } catch (error) {
      const fault = toFault(error);
      results.push([
        "Error",
        [
          ["Key", key],
          ["Code", fault.code],
          ["Message", fault.message],
        ],
      ]);
    }
  }
  sendXml(response, writeXml("DeleteResult", results, S3_NAMESPACE));
}
