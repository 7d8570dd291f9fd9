import { setImmediate as nextTurn } from "node:timers/promises";
import { awsEncodePath } from "../../wire/encode.ts";
import { S3_NAMESPACE, writeXml, type XmlFields } from "../../wire/xml.ts";
import { authorize } from "../auth.ts";
import { bucketArn, type OperationContext, sendXml } from "../context.ts";
import { errnoOf, Fault } from "../faults.ts";
import type { S3Request } from "../request.ts";
import { DamagedObjectError, type ObjectInfo, readInfo } from "../store/footer.ts";
import { fromBinary, toBinary } from "../store/paths.ts";
import { type FoundKey, type KeyWalk, PAST } from "../store/walk.ts";
import { quote } from "./metadata.ts";

const MAX_KEYS = 1000;
const INFO_BATCH = 32;

/** A count from the query: at most 1000, which is also the default. */
export function limitParam(request: S3Request, name: string): number {
  const text = request.param(name);
  if (text === undefined || text === "") return MAX_KEYS;
  if (!/^\d{1,9}$/.test(text)) throw new Fault("InvalidArgument", { message: `${name} must be a number.` });
  return Math.min(Number(text), MAX_KEYS);
}

/** How keys are written into the listing. */
export function listEncoder(request: S3Request): (text: string) => string {
  const type = request.param("encoding-type");
  if (type === undefined) return (text) => text;
  if (type !== "url") throw new Fault("InvalidArgument", { message: "encoding-type must be url." });
  return awsEncodePath;
}

/** One page of a listing. Keys are binary strings. */
interface Page {
  readonly objects: readonly (FoundKey & { readonly info: ObjectInfo })[];
  readonly prefixes: readonly string[];
  /** The last key or common prefix given, where there is more. */
  readonly nextMarker: string | undefined;
}

interface PageQuery {
  readonly prefix: string;
  readonly delimiter: string;
  readonly maxKeys: number;
}

type Skipped = (found: FoundKey, error: DamagedObjectError) => void;

async function readPage(walk: KeyWalk, query: PageQuery, skipped: Skipped): Promise<Page> {
  const found: FoundKey[] = [];
  const prefixes: string[] = [];
  let marker: string | undefined;
  let nextMarker: string | undefined;
  for (let key = await walk.next(); key; key = await walk.next()) {
    if (found.length + prefixes.length >= query.maxKeys) {
      nextMarker = marker;
      break;
    }
    const cut = query.delimiter === "" ? -1 : key.key.indexOf(query.delimiter, query.prefix.length);
    if (cut < 0) {
      found.push(key);
      marker = key.key;
    } else {
      marker = key.key.slice(0, cut + query.delimiter.length);
      prefixes.push(marker);
      walk.skipPast(marker + PAST);
    }
  }
  return { objects: await withInfo(found, skipped), prefixes, nextMarker };
}

async function withInfo(found: readonly FoundKey[], skipped: Skipped): Promise<Page["objects"]> {
  const objects: (FoundKey & { info: ObjectInfo })[] = [];
  for (let at = 0; at < found.length; at += INFO_BATCH) {
    const batch = await Promise.all(found.slice(at, at + INFO_BATCH).map((key) => infoOf(key, skipped)));
    for (const object of batch) if (object) objects.push(object);
    await nextTurn();
  }
  return objects;
}

async function infoOf(found: FoundKey, skipped: Skipped): Promise<(FoundKey & { info: ObjectInfo }) | undefined> {
  try {
    return { ...found, info: await readInfo(found.path) };
  } catch (error) {
    // Deleted since the directory was read.
    if (errnoOf(error) === "ENOENT") return undefined;
    if (!(error instanceof DamagedObjectError)) throw error;
    // One that cannot be read must not hide all the others; reading or deleting it says what it is.
    skipped(found, error);
    return undefined;
  }
}

/** A marker that names a common prefix, cut at its first delimiter, stands for all the keys below it. */
function cursorFrom(marker: string, query: PageQuery): string {
  const { prefix, delimiter } = query;
  if (delimiter === "" || !marker.startsWith(prefix)) return marker;
  const cut = marker.indexOf(delimiter, prefix.length);
  return cut >= 0 && cut === marker.length - delimiter.length ? marker + PAST : marker;
}

function contents(page: Page, encode: (text: string) => string, withOwner: boolean): XmlFields {
  return [
    ...page.objects.map(
      ({ key, info }) =>
        [
          "Contents",
          [
            ["Key", encode(fromBinary(key))],
            ["LastModified", new Date(info.modifiedMs).toISOString()],
            ["ETag", quote(info.etag)],
            ["ChecksumAlgorithm", info.checksum?.algorithm.toUpperCase()],
            ["ChecksumType", info.checksum?.type],
            ["Size", info.sizeBytes],
            ["Owner", withOwner ? [["ID", "holdfast"]] : undefined],
            ["StorageClass", "STANDARD"],
          ] as XmlFields,
        ] as const,
    ),
    ...page.prefixes.map(
      (prefix) => ["CommonPrefixes", [["Prefix", encode(fromBinary(prefix))]] as XmlFields] as const,
    ),
  ];
}

function allowList(context: OperationContext): PageQuery {
  const { request, auth } = context;
  const prefix = request.param("prefix") ?? "";
  const delimiter = request.param("delimiter") ?? "";
  const asked: Record<string, string> = {};
  // An absent prefix lists everything, so it must not pass a condition that an empty one would not.
  asked["s3:prefix"] = prefix;
  if (delimiter !== "") asked["s3:delimiter"] = delimiter;
  const maxKeys = request.param("max-keys");
  if (maxKeys !== undefined) asked["s3:max-keys"] = maxKeys;
  authorize(auth.caller, "s3:ListBucket", { resource: bucketArn(request.bucket), context: asked });
  return { prefix: toBinary(prefix), delimiter: toBinary(delimiter), maxKeys: limitParam(request, "max-keys") };
}

async function pageFrom(context: OperationContext, query: PageQuery, after: string): Promise<Page> {
  const walk = context.store.walk(context.request.bucket, { prefix: query.prefix, after });
  if (query.maxKeys === 0) return { objects: [], prefixes: [], nextMarker: undefined };
  return readPage(walk, query, (found, err) =>
    context.logger?.error({ err, key: fromBinary(found.key) }, "an object is left out of a listing"),
  );
}

export async function listObjectsV1(context: OperationContext): Promise<void> {
  const { request, response } = context;
  const query = allowList(context);
  const encode = listEncoder(request);
  const marker = request.param("marker") ?? "";
  const page = await pageFrom(context, query, cursorFrom(toBinary(marker), query));
  const next = page.nextMarker === undefined ? undefined : encode(fromBinary(page.nextMarker));
  const fields: XmlFields = [
    ["Name", request.bucket],
    ["Prefix", encode(request.param("prefix") ?? "")],
    ["Marker", encode(marker)],
    ["NextMarker", next],
    ["MaxKeys", query.maxKeys],
    ["Delimiter", request.param("delimiter") ? encode(request.param("delimiter") ?? "") : undefined],
    ["EncodingType", request.param("encoding-type")],
    ["IsTruncated", next !== undefined],
    ...contents(page, encode, true),
  ];
  sendXml(response, writeXml("ListBucketResult", fields, S3_NAMESPACE));
}

function tokenOf(request: S3Request): string | undefined {
  const token = request.param("continuation-token");
  if (token === undefined || token === "") return undefined;
  if (!/^[\w-]+$/.test(token)) throw new Fault("InvalidArgument", { message: "The continuation token is not valid." });
  return Buffer.from(token, "base64url").toString("latin1");
}

export async function listObjectsV2(context: OperationContext): Promise<void> {
  const { request, response } = context;
  if (request.param("list-type") !== "2") throw new Fault("InvalidArgument", { message: "list-type must be 2." });
  const query = allowList(context);
  const encode = listEncoder(request);
  const startAfter = request.param("start-after") ?? "";
  const token = tokenOf(request);
  const after = token === undefined ? toBinary(startAfter) : cursorFrom(token, query);
  const page = await pageFrom(context, query, after);
  const next = page.nextMarker === undefined ? undefined : Buffer.from(page.nextMarker, "latin1").toString("base64url");
  const fields: XmlFields = [
    ["Name", request.bucket],
    ["Prefix", encode(request.param("prefix") ?? "")],
    ["StartAfter", startAfter === "" ? undefined : encode(startAfter)],
    ["ContinuationToken", request.param("continuation-token")],
    ["NextContinuationToken", next],
    ["KeyCount", page.objects.length + page.prefixes.length],
    ["MaxKeys", query.maxKeys],
    ["Delimiter", request.param("delimiter") ? encode(request.param("delimiter") ?? "") : undefined],
    ["EncodingType", request.param("encoding-type")],
    ["IsTruncated", next !== undefined],
    ...contents(page, encode, request.param("fetch-owner") === "true"),
  ];
  sendXml(response, writeXml("ListBucketResult", fields, S3_NAMESPACE));
}
