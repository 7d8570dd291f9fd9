import { createHash, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { Agent } from "node:http";
import type { LookupFunction } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetBucketPolicyCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { refusal, type TestServer, testServer } from "./_server.ts";

let kit: TestServer;
const Bucket = "test";

beforeAll(async () => {
  kit = await testServer();
});
afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function bytesOf(Key: string): Promise<Buffer> {
  const { Body } = await kit.aws().send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

describe("with the AWS SDK: one object", () => {
  it("gives back bytes, type and metadata of a buffer", async () => {
    const aws = kit.aws();
    const Body = randomBytes(100_000);
    const Metadata = { colour: "blue", "two-words": "a b" };
    await aws.send(
      new PutObjectCommand({ Bucket, Key: "a/one", Body, Metadata, ContentType: "text/x", CacheControl: "no-store" }),
    );
    const head = await aws.send(new HeadObjectCommand({ Bucket, Key: "a/one", ChecksumMode: "ENABLED" }));
    expect(head).toMatchObject({ ContentLength: 100_000, ContentType: "text/x", CacheControl: "no-store", Metadata });
    expect(head.ETag).toBe(`"${createHash("md5").update(Body).digest("hex")}"`);
    expect(head.ChecksumCRC32).toBeTruthy();
    expect((await bytesOf("a/one")).equals(Body)).toBe(true);
  });

  it("takes a stream (aws-chunked with an unsigned trailer) without its framing", async () => {
    const Body = randomBytes(3_000_000);
    const aws = kit.aws();
    await aws.send(
      new PutObjectCommand({ Bucket, Key: "a/stream", Body: Readable.from([Body]), ContentLength: Body.length }),
    );
    expect((await bytesOf("a/stream")).equals(Body)).toBe(true);
    const { ContentEncoding } = await aws.send(new HeadObjectCommand({ Bucket, Key: "a/stream" }));
    expect(ContentEncoding).toBeUndefined();
  });

  it.each(["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] as const)(
    "keeps and returns %s",
    async (ChecksumAlgorithm) => {
      const aws = kit.aws();
      const Key = `sum/${ChecksumAlgorithm}`;
      const put = await aws.send(new PutObjectCommand({ Bucket, Key, Body: "some bytes", ChecksumAlgorithm }));
      const got = await aws.send(new GetObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
      expect(got[`Checksum${ChecksumAlgorithm}`]).toBe(put[`Checksum${ChecksumAlgorithm}`]);
      expect(got[`Checksum${ChecksumAlgorithm}`]).toBeTruthy();
      expect(await got.Body?.transformToString()).toBe("some bytes");
    },
  );

  it("refuses a wrong checksum, a wrong MD5, a malformed MD5", async () => {
    const aws = kit.aws();
    const put = (extra: object) => refusal(aws.send(new PutObjectCommand({ Bucket, Key: "bad", Body: "x", ...extra })));
    expect(await put({ ChecksumCRC32: "AAAAAA==" })).toEqual({ status: 400, code: "BadDigest" });
    expect(await put({ ChecksumSHA256: Buffer.alloc(32).toString("base64") })).toEqual({
      status: 400,
      code: "BadDigest",
    });
    expect(await put({ ContentMD5: Buffer.alloc(16).toString("base64") })).toEqual({ status: 400, code: "BadDigest" });
    expect(await put({ ContentMD5: "no" })).toEqual({ status: 400, code: "InvalidDigest" });
    expect(await refusal(bytesOf("bad"))).toEqual({ status: 404, code: "NoSuchKey" });
  });

  it("serves ranges", async () => {
    const aws = kit.aws();
    await aws.send(new PutObjectCommand({ Bucket, Key: "range", Body: "0123456789" }));
    const range = async (Range: string) => {
      const got = await aws.send(new GetObjectCommand({ Bucket, Key: "range", Range }));
      return [await got.Body?.transformToString(), got.ContentRange];
    };
    expect(await range("bytes=2-4")).toEqual(["234", "bytes 2-4/10"]);
    expect(await range("bytes=7-")).toEqual(["789", "bytes 7-9/10"]);
    expect(await range("bytes=-2")).toEqual(["89", "bytes 8-9/10"]);
    expect(await range("bytes=8-100")).toEqual(["89", "bytes 8-9/10"]);
    expect(await refusal(range("bytes=10-"))).toEqual({ status: 416, code: "InvalidRange" });
  });

  it("answers conditions of reads", async () => {
    const aws = kit.aws();
    const { ETag } = await aws.send(new PutObjectCommand({ Bucket, Key: "cond", Body: "x" }));
    const get = (extra: object) => aws.send(new GetObjectCommand({ Bucket, Key: "cond", ...extra }));
    expect((await refusal(get({ IfNoneMatch: ETag }))).status).toBe(304);
    expect((await refusal(get({ IfMatch: '"other"' }))).status).toBe(412);
    expect((await refusal(get({ IfModifiedSince: new Date(Date.now() + 60_000) }))).status).toBe(304);
    expect((await refusal(get({ IfUnmodifiedSince: new Date(0) }))).status).toBe(412);
    expect((await get({ IfMatch: ETag })).$metadata.httpStatusCode).toBe(200);
  });

  it("lets one of twenty writers win If-None-Match:* and If-Match", async () => {
    const aws = kit.aws();
    const race = async (round: string, extra: object) => {
      const all = await Promise.allSettled(
        Array.from({ length: 20 }, (_, i) =>
          aws.send(new PutObjectCommand({ Bucket, Key: "race", Body: `${round} ${i}`, ...extra })),
        ),
      );
      for (const one of all)
        if (one.status === "rejected") expect(one.reason).toMatchObject({ name: "PreconditionFailed" });
      return all.filter((one) => one.status === "fulfilled").length;
    };
    expect(await race("create", { IfNoneMatch: "*" })).toBe(1);
    const { ETag } = await aws.send(new HeadObjectCommand({ Bucket, Key: "race" }));
    expect(await race("replace", { IfMatch: ETag })).toBe(1);
    expect(
      (await refusal(aws.send(new PutObjectCommand({ Bucket, Key: "none", Body: "x", IfMatch: ETag })))).code,
    ).toBe("NoSuchKey");
  });

  const ODD = [
    "sp ace+plus%25é😀",
    "a//b",
    "trailing/",
    "a/../b",
    "./x",
    "..",
    "é".repeat(500),
    "s".repeat(600),
    "q?x=1&y#z",
    "<xml>&\"'",
    "nl\nx",
    "n",
    "n/below",
    "~t",
    "=e",
    "+p",
  ];
  it.each(ODD.map((key) => [key.slice(0, 20), key] as const))("keeps the odd key %s", async (_, Key) => {
    const aws = kit.aws();
    await aws.send(new PutObjectCommand({ Bucket, Key, Body: `body of ${Key}` }));
    expect((await bytesOf(Key)).toString()).toBe(`body of ${Key}`);
    const listed = await aws.send(new ListObjectsV2Command({ Bucket, Prefix: Key, EncodingType: "url" }));
    expect(listed.Contents?.map((o) => decodeURIComponent(o.Key ?? ""))).toContain(Key);
    await aws.send(
      new CopyObjectCommand({ Bucket, Key: "copied", CopySource: encodeURIComponent(`${Bucket}/${Key}`) }),
    );
    expect((await bytesOf("copied")).toString()).toBe(`body of ${Key}`);
  });

  it("refuses a key of more than 1024 bytes", async () => {
    const put = kit.aws().send(new PutObjectCommand({ Bucket, Key: "é".repeat(513), Body: "x" }));
    expect(await refusal(put)).toEqual({ status: 400, code: "KeyTooLongError" });
  });

  it("copies with and without new metadata, with conditions on the source", async () => {
    const aws = kit.aws();
    const { ETag } = await aws.send(new PutObjectCommand({ Bucket, Key: "src", Body: "source", Metadata: { a: "1" } }));
    const CopySource = `${Bucket}/src`;
    await aws.send(new CopyObjectCommand({ Bucket, Key: "dst", CopySource }));
    expect((await aws.send(new HeadObjectCommand({ Bucket, Key: "dst" }))).Metadata).toEqual({ a: "1" });
    await aws.send(
      new CopyObjectCommand({ Bucket, Key: "src", CopySource, MetadataDirective: "REPLACE", Metadata: { b: "2" } }),
    );
    const head = await aws.send(new HeadObjectCommand({ Bucket, Key: "src" }));
    expect([head.Metadata, head.ETag]).toEqual([{ b: "2" }, ETag]);
    expect((await bytesOf("src")).toString()).toBe("source");
    expect((await aws.send(new HeadObjectCommand({ Bucket, Key: "dst" }))).Metadata).toEqual({ a: "1" });
    const copy = (extra: object) =>
      refusal(aws.send(new CopyObjectCommand({ Bucket, Key: "dst", CopySource, ...extra })));
    expect((await copy({ CopySourceIfMatch: '"other"' })).status).toBe(412);
    expect((await copy({ CopySourceIfNoneMatch: ETag })).status).toBe(412);
    expect((await copy({ CopySource: `${Bucket}/missing` })).status).toBe(404);
    expect((await copy({ Key: "src" })).code).toBe("InvalidRequest");
  });

  it("leaves a copy alone when its source is overwritten or deleted", async () => {
    const aws = kit.aws();
    await aws.send(new PutObjectCommand({ Bucket, Key: "first", Body: "old" }));
    await aws.send(new CopyObjectCommand({ Bucket, Key: "second", CopySource: `${Bucket}/first` }));
    await aws.send(new PutObjectCommand({ Bucket, Key: "first", Body: "new" }));
    expect((await bytesOf("second")).toString()).toBe("old");
  });
});

describe("with the AWS SDK: multipart", () => {
  const part = randomBytes(5 * 1024 * 1024);

  it("joins parts, copied ones too, and lists them meanwhile", async () => {
    const aws = kit.aws();
    const Key = "big/joined";
    await aws.send(new PutObjectCommand({ Bucket, Key: "big/source", Body: part }));
    const { UploadId } = await aws.send(new CreateMultipartUploadCommand({ Bucket, Key, ContentType: "text/big" }));
    const one = await aws.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: part }));
    const range = `bytes=${100}-${part.length - 1}`;
    const two = await aws.send(
      new UploadPartCopyCommand({
        Bucket,
        Key,
        UploadId,
        PartNumber: 7,
        CopySource: `${Bucket}/big/source`,
        CopySourceRange: range,
      }),
    );
    const listed = await aws.send(new ListPartsCommand({ Bucket, Key, UploadId }));
    expect(listed.Parts?.map((p) => [p.PartNumber, p.Size])).toEqual([
      [1, part.length],
      [7, part.length - 100],
    ]);
    const uploads = await aws.send(new ListMultipartUploadsCommand({ Bucket, Prefix: "big/" }));
    expect(uploads.Uploads?.map((u) => u.UploadId)).toEqual([UploadId]);
    const Parts = [
      { PartNumber: 1, ETag: one.ETag, ChecksumCRC32: one.ChecksumCRC32 },
      { PartNumber: 7, ETag: two.CopyPartResult?.ETag },
    ];
    const done = await aws.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
    );
    expect(done.ETag).toMatch(/^"[0-9a-f]{32}-2"$/);
    expect((await bytesOf(Key)).equals(Buffer.concat([part, part.subarray(100)]))).toBe(true);
    expect((await aws.send(new HeadObjectCommand({ Bucket, Key }))).ContentType).toBe("text/big");
    expect((await refusal(aws.send(new ListPartsCommand({ Bucket, Key, UploadId })))).code).toBe("NoSuchUpload");
  });

  it.each([
    ["CRC32", "COMPOSITE"],
    ["CRC64NVME", "FULL_OBJECT"],
  ] as const)("gives a %s %s checksum", async (ChecksumAlgorithm, type) => {
    const aws = kit.aws();
    const Key = `big/${type}`;
    const { UploadId } = await aws.send(new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm }));
    const sums = [];
    for (const PartNumber of [1, 2]) {
      const sent = await aws.send(
        new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: part, ChecksumAlgorithm }),
      );
      sums.push({
        PartNumber,
        ETag: sent.ETag,
        [`Checksum${ChecksumAlgorithm}`]: sent[`Checksum${ChecksumAlgorithm}`],
      });
    }
    const done = await aws.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: sums } }),
    );
    expect(done.ChecksumType).toBe(type);
    const sum = done[`Checksum${ChecksumAlgorithm}`] ?? "";
    expect(sum.endsWith("-2")).toBe(type === "COMPOSITE");
    if (type === "FULL_OBJECT") {
      await aws.send(
        new PutObjectCommand({ Bucket, Key: "whole", Body: Buffer.concat([part, part]), ChecksumAlgorithm }),
      );
      const whole = await aws.send(new HeadObjectCommand({ Bucket, Key: "whole", ChecksumMode: "ENABLED" }));
      expect(sum).toBe(whole.ChecksumCRC64NVME);
    }
  });

  it("refuses what does not fit together, and forgets an aborted upload", async () => {
    const aws = kit.aws();
    const Key = "big/refused";
    const { UploadId } = await aws.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const etags: (string | undefined)[] = [];
    for (const PartNumber of [1, 2]) {
      etags.push((await aws.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: "small" }))).ETag);
    }
    const complete = (Parts: object[], extra: object = {}) =>
      refusal(
        aws.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts }, ...extra })),
      );
    const [a, b] = [
      { PartNumber: 1, ETag: etags[0] },
      { PartNumber: 2, ETag: etags[1] },
    ];
    expect((await complete([a, b])).code).toBe("EntityTooSmall");
    expect((await complete([b, a])).code).toBe("InvalidPartOrder");
    expect((await complete([{ PartNumber: 3, ETag: etags[1] }])).code).toBe("InvalidPart");
    await aws.send(new PutObjectCommand({ Bucket, Key, Body: "already" }));
    expect((await complete([a], { IfNoneMatch: "*" })).code).toBe("PreconditionFailed");
    const bad = new UploadPartCommand({ Bucket, Key, UploadId: "../../../../etc", PartNumber: 1, Body: "x" });
    expect((await refusal(aws.send(bad))).code).toBe("NoSuchUpload");
    await aws.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
    expect((await complete([a])).code).toBe("NoSuchUpload");
  });
});

describe("with the AWS SDK: buckets and listings", () => {
  it("makes, lists, locates and deletes buckets", async () => {
    const aws = kit.aws();
    await aws.send(new CreateBucketCommand({ Bucket: "second" }));
    expect((await refusal(aws.send(new CreateBucketCommand({ Bucket: "second" })))).code).toBe(
      "BucketAlreadyOwnedByYou",
    );
    expect((await refusal(aws.send(new CreateBucketCommand({ Bucket: "Bad_Name" })))).code).toBe("InvalidBucketName");
    expect((await aws.send(new ListBucketsCommand({}))).Buckets?.map((b) => b.Name)).toEqual(["second", "test"]);
    await aws.send(new GetBucketLocationCommand({ Bucket: "second" }));
    await aws.send(new PutObjectCommand({ Bucket: "second", Key: "deep/er/x", Body: "x" }));
    expect((await refusal(aws.send(new DeleteBucketCommand({ Bucket: "second" })))).code).toBe("BucketNotEmpty");
    await aws.send(new DeleteObjectsCommand({ Bucket: "second", Delete: { Objects: [{ Key: "deep/er/x" }] } }));
    await aws.send(new DeleteBucketCommand({ Bucket: "second" }));
    expect((await refusal(aws.send(new PutObjectCommand({ Bucket: "second", Key: "x", Body: "x" })))).code).toBe(
      "NoSuchBucket",
    );
  });

  it("answers 501 for what it does not do, and makes no bucket of it", async () => {
    const aws = kit.aws();
    const policy = new PutBucketPolicyCommand({ Bucket: "phantom", Policy: "{}" });
    expect(await refusal(aws.send(policy))).toEqual({ status: 501, code: "NotImplemented" });
    expect((await refusal(aws.send(new GetBucketPolicyCommand({ Bucket })))).status).toBe(501);
    expect(
      (await refusal(aws.send(new PutObjectCommand({ Bucket, Key: "p", Body: "x", ACL: "public-read" })))).status,
    ).toBe(501);
    expect(
      (await refusal(aws.send(new PutObjectCommand({ Bucket, Key: "p", Body: "x", ServerSideEncryption: "AES256" }))))
        .status,
    ).toBe(501);
    expect((await aws.send(new ListBucketsCommand({}))).Buckets?.map((b) => b.Name)).toEqual(["test"]);
  });

  it("pages 2,500 keys in UTF-8 order, flat and by directory, and deletes them by the thousand", async () => {
    await using own = await testServer({ durable: false });
    const client = own.client();
    const aws = own.aws();
    const keys = Array.from({ length: 2500 }, (_, i) =>
      i % 3 === 0 ? `d/${i % 50}/f-${i}` : i % 3 === 1 ? `é😀${i}` : `z!${i}`,
    );
    for (let at = 0; at < keys.length; at += 50) {
      await Promise.all(keys.slice(at, at + 50).map((key) => client.put({ bucket: Bucket, key, body: "" })));
    }
    const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const v2: string[] = [];
    for (let ContinuationToken: string | undefined, more = true; more; ) {
      const page = await aws.send(new ListObjectsV2Command({ Bucket, ContinuationToken }));
      v2.push(...(page.Contents ?? []).map((o) => o.Key ?? ""));
      ContinuationToken = page.NextContinuationToken;
      more = page.IsTruncated === true;
    }
    expect(v2).toEqual(sorted);
    const v1: string[] = [];
    for (let Marker: string | undefined, more = true; more; ) {
      const page = await aws.send(new ListObjectsCommand({ Bucket, Marker, MaxKeys: 700 }));
      v1.push(...(page.Contents ?? []).map((o) => o.Key ?? ""));
      Marker = page.Contents?.at(-1)?.Key;
      more = page.IsTruncated === true;
    }
    expect(v1).toEqual(sorted);
    const prefixes: string[] = [];
    for (let ContinuationToken: string | undefined, more = true; more; ) {
      const page = await aws.send(
        new ListObjectsV2Command({ Bucket, Prefix: "d/", Delimiter: "/", MaxKeys: 7, ContinuationToken }),
      );
      expect(page.Contents ?? []).toEqual([]);
      prefixes.push(...(page.CommonPrefixes ?? []).map((p) => p.Prefix ?? ""));
      ContinuationToken = page.NextContinuationToken;
      more = page.IsTruncated === true;
    }
    expect(prefixes).toEqual(Array.from({ length: 50 }, (_, i) => `d/${i}/`).sort());
    const after = await aws.send(new ListObjectsV2Command({ Bucket, StartAfter: sorted[1000], MaxKeys: 2 }));
    expect(after.Contents?.map((o) => o.Key)).toEqual(sorted.slice(1001, 1003));
    for (let at = 0; at < keys.length; at += 1000) {
      const Objects = keys.slice(at, at + 1000).map((Key) => ({ Key }));
      const { Errors, Deleted } = await aws.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
      expect([Errors, Deleted?.length]).toEqual([undefined, Objects.length]);
    }
    expect((await aws.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(0);
    expect(await readdir(join(own.dataDir, "buckets/test"))).toEqual([]);
  });

  it("takes virtual-host addresses", async () => {
    // Names below localhost are not resolved by every machine.
    const lookup: LookupFunction = (_host, _options, found) => found(null, [{ address: "127.0.0.1", family: 4 }]);
    const aws = kit.aws(undefined, {
      requestHandler: { httpAgent: new Agent({ lookup }) },
      endpoint: kit.url.replace("127.0.0.1", "localhost"),
      forcePathStyle: false,
    });
    await aws.send(new PutObjectCommand({ Bucket, Key: "hosted/x", Body: "by host" }));
    expect((await bytesOf("hosted/x")).toString()).toBe("by host");
  });
});
