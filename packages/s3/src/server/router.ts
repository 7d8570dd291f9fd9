import type { Operation } from "./context.ts";
import { Fault } from "./faults.ts";
import {
  createBucket,
  deleteBucket,
  deleteObjects,
  getBucketLocation,
  headBucket,
  listBuckets,
} from "./ops/buckets.ts";
import { completeUpload } from "./ops/complete.ts";
import { copyObject } from "./ops/copy.ts";
import { listObjectsV1, listObjectsV2 } from "./ops/list.ts";
import { abortUpload, createUpload, listParts, listUploads, uploadPart, uploadPartCopy } from "./ops/multipart.ts";
import { deleteObject, getObject, getObjectTagging, putObject } from "./ops/objects.ts";
import type { S3Request } from "./request.ts";

interface Route {
  readonly level: "service" | "bucket" | "object";
  readonly method: string;
  /** Query parameters that must be there. */
  readonly needs: readonly string[];
  /** Query parameters that may be there. */
  readonly takes: readonly string[];
  /** A header that must be there. */
  readonly header?: string;
  readonly run: Operation;
}

const LIST = ["prefix", "delimiter", "max-keys", "encoding-type"];
const RESPONSE = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
];
const READ = RESPONSE.map((name) => `response-${name}`);
const SOURCE = "x-amz-copy-source";

/** The first match counts, so the more particular route stands first. */
const ROUTES: readonly Route[] = [
  { level: "service", method: "GET", needs: [], takes: [], run: listBuckets },
  { level: "bucket", method: "HEAD", needs: [], takes: [], run: headBucket },
  { level: "bucket", method: "PUT", needs: [], takes: [], run: createBucket },
  { level: "bucket", method: "DELETE", needs: [], takes: [], run: deleteBucket },
  { level: "bucket", method: "GET", needs: ["location"], takes: [], run: getBucketLocation },
  {
    level: "bucket",
    method: "GET",
    needs: ["uploads"],
    takes: ["prefix", "delimiter", "encoding-type", "max-uploads", "key-marker", "upload-id-marker"],
    run: listUploads,
  },
  {
    level: "bucket",
    method: "GET",
    needs: ["list-type"],
    takes: [...LIST, "continuation-token", "start-after", "fetch-owner"],
    run: listObjectsV2,
  },
  { level: "bucket", method: "GET", needs: [], takes: [...LIST, "marker"], run: listObjectsV1 },
  { level: "bucket", method: "POST", needs: ["delete"], takes: [], run: deleteObjects },
  { level: "object", method: "PUT", needs: ["partNumber", "uploadId"], takes: [], header: SOURCE, run: uploadPartCopy },
  { level: "object", method: "PUT", needs: ["partNumber", "uploadId"], takes: [], run: uploadPart },
  { level: "object", method: "PUT", needs: [], takes: [], header: SOURCE, run: copyObject },
  { level: "object", method: "PUT", needs: [], takes: [], run: putObject },
  { level: "object", method: "POST", needs: ["uploads"], takes: [], run: createUpload },
  { level: "object", method: "POST", needs: ["uploadId"], takes: [], run: completeUpload },
  {
    level: "object",
    method: "GET",
    needs: ["uploadId"],
    takes: ["max-parts", "part-number-marker", "encoding-type"],
    run: listParts,
  },
  { level: "object", method: "GET", needs: ["tagging"], takes: [], run: getObjectTagging },
  { level: "object", method: "GET", needs: [], takes: READ, run: getObject },
  { level: "object", method: "HEAD", needs: [], takes: READ, run: getObject },
  { level: "object", method: "DELETE", needs: ["uploadId"], takes: [], run: abortUpload },
  { level: "object", method: "DELETE", needs: [], takes: [], run: deleteObject },
];

/** Parameters without a meaning for the choice: SDK v3's operation name, signatures and hoisted headers. */
function isNeutral(name: string, request: S3Request): boolean {
  if (name === "x-id" || name.toLowerCase().startsWith("x-amz-")) return true;
  return name === "versionId" && request.param(name) === "null";
}

/**
 * Finds the operation. A parameter that no operation takes is refused: `?policy` must never make a bucket.
 * @throws Fault NotImplemented, MethodNotAllowed
 */
export function route(request: S3Request): Operation {
  const level = request.bucket === "" ? "service" : request.key === "" ? "bucket" : "object";
  const names = request.query.map(([name]) => name).filter((name) => !isNeutral(name, request));
  const candidates = ROUTES.filter((r) => r.level === level && r.method === request.method);
  const found = candidates.find(
    (r) =>
      r.needs.every((name) => names.includes(name)) &&
      names.every((name) => r.needs.includes(name) || r.takes.includes(name)) &&
      (r.header === undefined || request.header(r.header) !== undefined),
  );
  if (found) return found.run;
  if (candidates.length === 0 && !["GET", "HEAD", "PUT", "POST", "DELETE"].includes(request.method)) {
    throw new Fault("MethodNotAllowed", { details: { Method: request.method, ResourceType: level.toUpperCase() } });
  }
  const what = names.length > 0 ? ` with ?${names.join("&")}` : "";
  throw new Fault("NotImplemented", {
    message: `This server does not implement ${request.method} of a ${level}${what}.`,
  });
}
