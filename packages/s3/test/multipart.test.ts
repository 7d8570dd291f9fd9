import { randomBytes } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  type ChecksumAlgorithm,
  type ChecksumType,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createChecksum } from "../src/wire/checksums.ts";
import { sendSigned } from "./_raw.ts";
import { refusal, type TestServer, testServer } from "./_server.ts";

let kit: TestServer;
const Bucket = "test";
beforeAll(async () => {
  kit = await testServer({ durable: false });
});
afterAll(() => kit[Symbol.asyncDispose]());

type Kind = { ChecksumAlgorithm?: ChecksumAlgorithm; ChecksumType?: ChecksumType };

async function begin(Key: string, kind: Kind = {}) {
  const { UploadId } = await kit.aws().send(new CreateMultipartUploadCommand({ Bucket, Key, ...kind }));
  return { Bucket, Key, UploadId };
}

async function uploaded(Key: string, bodies: readonly (Buffer | string)[], kind: Kind = {}) {
  const upload = await begin(Key, kind);
  const Parts: CompletedPart[] = [];
  for (const [i, Body] of bodies.entries()) {
    const sent = await kit
      .aws()
      .send(new UploadPartCommand({ ...upload, PartNumber: i + 1, Body, ChecksumAlgorithm: kind.ChecksumAlgorithm }));
    const { ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256 } = sent;
    const sums = { ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256 };
    Parts.push({ PartNumber: i + 1, ETag, ...sums });
  }
  return { ...upload, MultipartUpload: { Parts } };
}

const part = randomBytes(5 * 1024 * 1024);
const tail = randomBytes(1000);

function sumOf(algorithm: "crc32" | "crc32c" | "crc64nvme", data: Buffer): string {
  const sum = createChecksum(algorithm);
  sum.update(data);
  return sum.digest().toString("base64");
}

describe("a completion", () => {
  it.each([
    ["CRC64NVME", "crc64nvme"],
    ["CRC32", "crc32"],
    ["CRC32C", "crc32c"],
  ] as const)("is checked against the %s of the whole object where the client says it", async (name, algorithm) => {
    const kind = { ChecksumAlgorithm: name, ChecksumType: "FULL_OBJECT" as const };
    const whole = sumOf(algorithm, Buffer.concat([part, tail]));
    const complete = await uploaded(`whole/${name}`, [part, tail], kind);
    const wrong = { ...complete, [`Checksum${name}`]: sumOf(algorithm, tail) };
    expect(await refusal(kit.aws().send(new CompleteMultipartUploadCommand(wrong)))).toEqual({
      status: 400,
      code: "BadDigest",
    });
    expect(await kit.client().head({ bucket: Bucket, key: complete.Key })).toBeUndefined();
    const right = { ...complete, [`Checksum${name}`]: whole, ChecksumType: kind.ChecksumType };
    const done = await kit.aws().send(new CompleteMultipartUploadCommand(right));
    expect(done[`Checksum${name}`]).toBe(whole);
    const got = await kit.aws().send(new GetObjectCommand({ Bucket, Key: complete.Key, ChecksumMode: "ENABLED" }));
    expect([got[`Checksum${name}`], got.ChecksumType]).toEqual([whole, "FULL_OBJECT"]);
    expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(Buffer.concat([part, tail]))).toBe(true);
  });

  it("is checked against the size that the client says", async () => {
    const complete = await uploaded("by-size", ["12345"]);
    const sized = (MpuObjectSize: number) =>
      kit.aws().send(new CompleteMultipartUploadCommand({ ...complete, MpuObjectSize }));
    expect((await refusal(sized(4))).code).toBe("InvalidRequest");
    expect((await refusal(sized(6))).code).toBe("InvalidRequest");
    expect(await kit.client().head({ bucket: Bucket, key: "by-size" })).toBeUndefined();
    await sized(5);
  });

  it("is refused for another kind of checksum than the upload's", async () => {
    const kind = { ChecksumAlgorithm: "CRC32" as const, ChecksumType: "COMPOSITE" as const };
    const complete = await uploaded("kind", ["x"], kind);
    const other = { ...complete, ChecksumType: "FULL_OBJECT" as const };
    expect((await refusal(kit.aws().send(new CompleteMultipartUploadCommand(other)))).code).toBe("InvalidRequest");
    const wrong = {
      ...complete,
      MultipartUpload: { Parts: [{ ...complete.MultipartUpload.Parts[0], ChecksumCRC32: "AAAAAA==" }] },
    };
    expect((await refusal(kit.aws().send(new CompleteMultipartUploadCommand(wrong)))).code).toBe("InvalidPart");
    await kit.aws().send(new CompleteMultipartUploadCommand(complete));
  });

  it.each([
    ["nothing", ""],
    ["no XML", "{}"],
    ["another document", "<Delete/>"],
    ["no part", "<CompleteMultipartUpload></CompleteMultipartUpload>"],
    ["a document type", "<!DOCTYPE x><CompleteMultipartUpload/>"],
    ["a part without number", "<CompleteMultipartUpload><Part><ETag>x</ETag></Part></CompleteMultipartUpload>"],
    ["more parts than there can be", `<CompleteMultipartUpload>${"<Part/>".repeat(10_001)}</CompleteMultipartUpload>`],
  ])("is refused with %s as its list", async (_, body) => {
    const { UploadId } = await uploaded("list", ["x"]);
    const answer = await sendSigned(kit.url, {
      method: "POST",
      path: `/test/list?uploadId=${UploadId}`,
      headers: {},
      body,
    });
    expect(answer).toMatchObject({ status: 400, code: "MalformedXML" });
  });

  it("takes the parts that it names, in their latest form, and leaves out the others", async () => {
    const upload = await begin("chosen");
    const send = (PartNumber: number, Body: string) =>
      kit.aws().send(new UploadPartCommand({ ...upload, PartNumber, Body }));
    const first = await send(3, "first form");
    await send(1, "left out");
    const last = await send(3, "last form");
    const complete = (ETag: string | undefined) =>
      kit
        .aws()
        .send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: [{ PartNumber: 3, ETag }] } }));
    expect((await refusal(complete(first.ETag))).code).toBe("InvalidPart");
    await complete(last.ETag);
    expect((await kit.client().getBytes({ bucket: Bucket, key: "chosen" })).toString()).toBe("last form");
  });

  it("happens once: of ten at a time one makes the object, the others hear that there is no upload", async () => {
    const complete = await uploaded("once", ["only"]);
    const all = await Promise.allSettled(
      Array.from({ length: 10 }, () => kit.aws().send(new CompleteMultipartUploadCommand(complete))),
    );
    expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const one of all) if (one.status === "rejected") expect(one.reason).toMatchObject({ name: "NoSuchUpload" });
  });
});

describe("a part", () => {
  it.each(["0", "10001", "-1", "1.5", "one", ""])("has no number %j", async (number) => {
    const { UploadId } = await begin("numbers");
    const path = `/test/numbers?partNumber=${number}&uploadId=${UploadId}`;
    expect(await sendSigned(kit.url, { method: "PUT", path, headers: {}, body: "x" })).toMatchObject({
      status: 400,
      code: "InvalidArgument",
    });
  });

  it("goes to the upload of its own key only", async () => {
    const upload = await begin("mine");
    const other = new UploadPartCommand({ ...upload, Key: "yours", PartNumber: 1, Body: "x" });
    expect((await refusal(kit.aws().send(other))).code).toBe("NoSuchUpload");
    for (const UploadId of ["", "..", "0".repeat(32), upload.UploadId?.toUpperCase()])
      expect((await refusal(kit.aws().send(new ListPartsCommand({ ...upload, UploadId })))).code).toMatch(
        /NoSuchUpload|NotImplemented/,
      );
  });

  it("is refused with another kind of checksum than the upload's, and with a wrong one", async () => {
    const upload = await begin("sums", { ChecksumAlgorithm: "SHA256" });
    const send = (extra: object) =>
      refusal(kit.aws().send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: "x", ...extra })));
    expect((await send({ ChecksumAlgorithm: "CRC32" })).code).toBe("InvalidRequest");
    expect((await send({ ChecksumSHA256: Buffer.alloc(32).toString("base64") })).code).toBe("BadDigest");
    expect((await kit.aws().send(new ListPartsCommand(upload))).Parts).toBeUndefined();
  });

  it.each([
    [{ ChecksumAlgorithm: "SHA1", ChecksumType: "FULL_OBJECT" }],
    [{ ChecksumAlgorithm: "CRC64NVME", ChecksumType: "COMPOSITE" }],
  ] as const)("is never sent where the checksum cannot be joined: %j", async (kind) => {
    expect((await refusal(begin("impossible", kind))).code).toBe("InvalidRequest");
  });

  it("is copied from a range that lies in its source", async () => {
    await kit.client().put({ bucket: Bucket, key: "source", body: "0123456789" });
    const upload = await begin("ranges");
    const copy = (CopySourceRange?: string) =>
      kit
        .aws()
        .send(new UploadPartCopyCommand({ ...upload, PartNumber: 1, CopySource: "test/source", CopySourceRange }));
    for (const range of [
      "bytes=2-",
      "bytes=-2",
      "bytes=5-4",
      "2-4",
      "bytes=0-1,3-4",
      "bytes=a-b",
      "bytes=",
      "octets=0-1",
    ])
      expect(await refusal(copy(range)), range).toEqual({ status: 400, code: "InvalidArgument" });
    // A part that is shorter than what was asked for would be found by nobody.
    for (const range of ["bytes=5-10", "bytes=10-10", "bytes=0-99999999999999999999"])
      expect((await refusal(copy(range))).code, range).toBe("InvalidRange");
    const sizes = [];
    for (const range of ["bytes=0-0", "bytes=9-9", "bytes=2-5", "bytes=0-9", undefined]) {
      await copy(range);
      sizes.push((await kit.aws().send(new ListPartsCommand(upload))).Parts?.[0]?.Size);
    }
    expect(sizes).toEqual([1, 1, 4, 10, 10]);
    await kit.aws().send(new AbortMultipartUploadCommand(upload));
    expect((await refusal(copy())).code).toBe("NoSuchUpload");
  });
});

describe("the list", () => {
  it("of parts comes in pages", async () => {
    const complete = await uploaded(
      "paged",
      Array.from({ length: 5 }, (_, i) => `part ${i + 1}`),
    );
    const upload = { Bucket, Key: complete.Key, UploadId: complete.UploadId };
    const pages: (number | undefined)[][] = [];
    for (let PartNumberMarker: string | undefined, more = true; more; ) {
      const page = await kit.aws().send(new ListPartsCommand({ ...upload, MaxParts: 2, PartNumberMarker }));
      pages.push((page.Parts ?? []).map((one) => one.PartNumber));
      PartNumberMarker = page.NextPartNumberMarker;
      more = page.IsTruncated === true;
    }
    expect(pages).toEqual([[1, 2], [3, 4], [5]]);
    const none = await kit.aws().send(new ListPartsCommand({ ...upload, MaxParts: 0 }));
    expect([none.Parts, none.IsTruncated]).toEqual([undefined, false]);
    for (const PartNumberMarker of ["two", "-1", "1.5"])
      expect((await refusal(kit.aws().send(new ListPartsCommand({ ...upload, PartNumberMarker })))).code).toBe(
        "InvalidArgument",
      );
  });

  it("of uploads loses none while those of a page before are completed or given up", async () => {
    const uploads = [];
    for (const Key of ["u/a", "u/b", "u/b", "u/b", "u/b", "u/b", "u/<c>&"]) uploads.push(await begin(Key));
    const seen: (string | undefined)[] = [];
    for (let marker: object = {}, more = true; more; ) {
      const page = await kit
        .aws()
        .send(new ListMultipartUploadsCommand({ Bucket, Prefix: "u/", MaxUploads: 2, ...marker }));
      for (const { Key, UploadId } of page.Uploads ?? []) {
        seen.push(UploadId);
        await kit.aws().send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
      }
      marker = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
      more = page.IsTruncated === true;
    }
    expect([...seen].sort()).toEqual(uploads.map(({ UploadId }) => UploadId).sort());
    // By key, and of one key the earlier first.
    expect(seen[0]).toBe(uploads[6]?.UploadId);
    const none = await kit.aws().send(new ListMultipartUploadsCommand({ Bucket, Prefix: "u/", MaxUploads: 0 }));
    expect(none.IsTruncated).toBe(false);
  });
});
