import { CHECKSUM_ALGORITHMS } from "../../wire/checksums.ts";
import { awsEncodePath } from "../../wire/encode.ts";
import {
  childrenNamed,
  childText,
  parseXml,
  S3_NAMESPACE,
  writeXml,
  XML_DECLARATION,
  XmlError,
} from "../../wire/xml.ts";
import { receiveText } from "../body.ts";
import { type OperationContext, sendXml, withoutIdleTimeout } from "../context.ts";
import { Fault } from "../faults.ts";
import type { S3Request } from "../request.ts";
import type { ObjectInfo } from "../store/footer.ts";
import { type CompletePart, MAX_PART_NUMBER, type Upload, type WholeObject } from "../store/uploads.ts";
import { CHECKSUM_ELEMENTS, checksumFields, quote, readWriteCondition, unquote } from "./metadata.ts";
import { allowPut, uploadOf } from "./multipart.ts";

const MAX_COMPLETE_BYTES = 4 * 1024 * 1024;
const KEEP_ALIVE_MS = 10_000;

function parseComplete(text: string): CompletePart[] {
  try {
    const root = parseXml(text);
    const parts = childrenNamed(root, "Part").map((part) => {
      const checksums: CompletePart["checksums"] = {};
      for (const [algorithm, element] of CHECKSUM_ELEMENTS) {
        const value = childText(part, element);
        if (value !== undefined) checksums[algorithm] = value.trim();
      }
      return {
        partNumber: Number(childText(part, "PartNumber")),
        etag: unquote(childText(part, "ETag") ?? ""),
        checksums,
      };
    });
    const counted = parts.length > 0 && parts.length <= MAX_PART_NUMBER;
    const named = parts.every(({ partNumber, etag }) => Number.isInteger(partNumber) && partNumber > 0 && etag !== "");
    if (root.name === "CompleteMultipartUpload" && counted && named) return parts;
  } catch (cause) {
    if (!(cause instanceof XmlError)) throw cause;
    throw new Fault("MalformedXML", { cause });
  }
  throw new Fault("MalformedXML");
}

/**
 * What a completion says about the object that is to come out.
 * @throws Fault InvalidRequest where the upload's checksum is of another kind
 */
function readWholeObject(request: S3Request, upload: Upload): WholeObject {
  const size = request.header("x-amz-mp-object-size");
  if (size !== undefined && !/^\d{1,15}$/.test(size)) {
    throw new Fault("InvalidArgument", { message: "x-amz-mp-object-size is not a number of bytes." });
  }
  const type = request.header("x-amz-checksum-type")?.toUpperCase();
  const given = CHECKSUM_ALGORITHMS.filter((name) => request.header(`x-amz-checksum-${name}`) !== undefined);
  const { checksum } = upload;
  if ((type !== undefined && type !== checksum?.type) || given.some((name) => name !== checksum?.algorithm)) {
    throw new Fault("InvalidRequest", { message: "The checksum is of another kind than the upload's." });
  }
  const [algorithm] = given;
  return {
    ...(size === undefined ? {} : { sizeBytes: Number(size) }),
    ...(algorithm === undefined ? {} : { checksum: request.header(`x-amz-checksum-${algorithm}`) }),
  };
}

/** Joining parts may take longer than a client waits for a byte: then blanks go ahead of the document, as on S3. */
export async function completeUpload(context: OperationContext): Promise<void> {
  const { request, response, uploads, auth } = context;
  allowPut(context);
  const upload = await uploadOf(context);
  const condition = readWriteCondition(request, auth.caller);
  const expected = readWholeObject(request, upload);
  // The checksum among the headers is that of the object, not of this body.
  const text = await receiveText({ request, response, proof: auth.payload, ignoreChecksum: true }, MAX_COMPLETE_BYTES);
  const asked = { parts: parseComplete(text), expected, modifiedMs: context.now() };
  const timer = setInterval(() => {
    if (!response.headersSent) {
      response.writeHead(200, { "content-type": "application/xml" });
      response.write(XML_DECLARATION);
    }
    response.write(" ");
  }, KEEP_ALIVE_MS);
  let info: ObjectInfo;
  try {
    info = await withoutIdleTimeout(request, () => uploads.complete(upload, asked, condition));
  } finally {
    clearInterval(timer);
  }
  const fields = [
    ["Location", `http://${request.header("host") ?? "localhost"}${awsEncodePath(request.path)}`],
    ["Bucket", upload.bucket],
    ["Key", upload.key],
    ["ETag", quote(info.etag)],
    ...checksumFields(info.checksum),
  ] as const;
  const xml = writeXml("CompleteMultipartUploadResult", fields, S3_NAMESPACE);
  if (response.headersSent) response.end(xml.slice(XML_DECLARATION.length));
  else sendXml(response, xml);
}
