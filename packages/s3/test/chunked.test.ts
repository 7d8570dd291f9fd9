import { createHash, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createChecksum } from "../src/wire/checksums.ts";
import { dateOf, sendRaw, sendSigned, sha256, signatureOf, signedChunks, unsignedChunks } from "./_raw.ts";
import { type TestServer, testServer } from "./_server.ts";

let kit: TestServer;
const Bucket = "test";
beforeAll(async () => {
  kit = await testServer({ durable: false });
});
afterAll(() => kit[Symbol.asyncDispose]());

const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: Buffer | string) =>
  sendSigned(kit.url, { method, path, headers, ...(body === undefined ? {} : { body }) });
const present = async (key: string) => (await kit.client().head({ bucket: Bucket, key })) !== undefined;

const sums = { sha256: createHash("sha256"), crc32c: createChecksum("crc32c") };
const chunks = [Buffer.alloc(8192, "a"), randomBytes(70_000), Buffer.from("the end")];
const content = Buffer.concat(chunks);
for (const sum of Object.values(sums)) sum.update(content);
const trailerOf = { sha256: sums.sha256.digest("base64"), crc32c: sums.crc32c.digest().toString("base64") };

interface ChunkedPut {
  readonly kind?: "signed" | "signed with trailer" | "unsigned with trailer";
  /** Of the trailer: `name:value`. */
  readonly trailer?: string;
  readonly announced?: string;
  readonly decodedLength?: number;
  readonly headers?: Record<string, string>;
  readonly change?: (body: Buffer) => Buffer;
}

const HASHES = {
  signed: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
  "signed with trailer": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
  "unsigned with trailer": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
};

/** Sends `content` in chunks. */
async function putChunks(key: string, options: ChunkedPut = {}) {
  const { kind = "signed with trailer", decodedLength = content.length, change = (body: Buffer) => body } = options;
  const trailer = kind === "signed" ? undefined : (options.trailer ?? `x-amz-checksum-sha256:${trailerOf.sha256}`);
  const announced = options.announced ?? trailer?.split(":")[0];
  const payloadHash = HASHES[kind];
  const atMs = Date.now();
  const path = `/test/${key}`;
  const toSign: Record<string, string> = {
    host: new URL(kit.url).host,
    "x-amz-date": dateOf(atMs),
    "x-amz-content-sha256": payloadHash,
    "x-amz-decoded-content-length": String(decodedLength),
    "content-encoding": "aws-chunked",
    ...(announced === undefined ? {} : { "x-amz-trailer": announced }),
    ...options.headers,
  };
  const signature = signatureOf({ method: "PUT", path, headers: toSign, payloadHash, atMs });
  const plain = kind.startsWith("unsigned");
  const with_ = trailer === undefined ? {} : { trailer };
  const body = change(plain ? unsignedChunks(chunks, trailer) : signedChunks({ signature, chunks, ...with_ }));
  const headers = { ...toSign, authorization: signature.authorization, "content-length": String(body.length) };
  return sendRaw(kit.url, { method: "PUT", path, headers, body });
}

const flipAt =
  (find: string, offset = 0) =>
  (body: Buffer) => {
    const copy = Buffer.from(body);
    const at = copy.indexOf(find) + offset;
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };

/** Another hexadecimal digit behind what is found. */
const redigit = (find: string) => (body: Buffer) => {
  const copy = Buffer.from(body);
  const at = copy.indexOf(find) + find.length;
  copy.write(copy.toString("latin1", at, at + 1) === "0" ? "1" : "0", at);
  return copy;
};

describe("a body in chunks", () => {
  it.each(["signed", "signed with trailer", "unsigned with trailer"] as const)(
    "%s is stored without them",
    async (kind) => {
      const key = `chunks/${kind.replaceAll(" ", "-")}`;
      expect(await putChunks(key, { kind, headers: { "content-encoding": "aws-chunked, gzip" } })).toMatchObject({
        status: 200,
      });
      expect((await kit.client().getBytes({ bucket: Bucket, key })).equals(content)).toBe(true);
      const { headers } = await ask("HEAD", `/test/${key}`, { "x-amz-checksum-mode": "ENABLED" });
      expect(headers["content-encoding"]).toBe("gzip");
      expect(headers["x-amz-checksum-sha256"]).toBe(kind === "signed" ? undefined : trailerOf.sha256);
    },
  );

  it("may carry any checksum as its trailer, in any case and with blanks", async () => {
    const trailer = `X-Amz-Checksum-CRC32C:  ${trailerOf.crc32c} `;
    const answer = await putChunks("chunks/crc", {
      kind: "unsigned with trailer",
      trailer,
      announced: "X-Amz-Checksum-Crc32c",
    });
    expect(answer).toMatchObject({ status: 200, headers: { "x-amz-checksum-crc32c": trailerOf.crc32c } });
  });

  const cases: [what: string, options: ChunkedPut, status: number, code: string][] = [
    ["a changed byte", { change: flipAt("aaaa", 100) }, 403, "SignatureDoesNotMatch"],
    ["a changed byte in the last chunk", { kind: "signed", change: flipAt("the end") }, 403, "SignatureDoesNotMatch"],
    ["a changed chunk signature", { change: redigit("chunk-signature=") }, 403, "SignatureDoesNotMatch"],
    ["a changed trailer", { change: flipAt("x-amz-checksum-sha256:", 25) }, 403, "SignatureDoesNotMatch"],
    ["a changed trailer signature", { change: redigit("trailer-signature:") }, 403, "SignatureDoesNotMatch"],
    [
      "chunks without signatures",
      { change: (b) => Buffer.from(b.toString("latin1").replaceAll(/;chunk-signature=\w+/g, ""), "latin1") },
      403,
      "SignatureDoesNotMatch",
    ],
    ["chunks in another order", { change: () => unsignedChunks(chunks.toReversed()) }, 403, "SignatureDoesNotMatch"],
    [
      "no trailer signature",
      { change: (b) => Buffer.from(b.toString("latin1").replace(/x-amz-trailer-signature:\w+\r\n/, ""), "latin1") },
      403,
      "SignatureDoesNotMatch",
    ],
    [
      "a wrong checksum, rightly signed",
      { trailer: `x-amz-checksum-sha256:${sha256("").slice(0, 43)}=` },
      400,
      "BadDigest",
    ],
    [
      "a wrong unsigned checksum",
      { kind: "unsigned with trailer", trailer: "x-amz-checksum-crc32:AAAAAA==" },
      400,
      "BadDigest",
    ],
    ["another trailer than announced", { announced: "x-amz-checksum-crc32" }, 400, "InvalidRequest"],
    ["no trailer though announced", { kind: "signed", announced: "x-amz-checksum-crc32" }, 400, "InvalidRequest"],
    ["a trailer that is no checksum", { trailer: "x-amz-meta-a:b" }, 400, "InvalidRequest"],
    ["a checksum that nobody knows", { trailer: "x-amz-checksum-md4:b" }, 400, "InvalidRequest"],
    ["two checksums", { headers: { "x-amz-checksum-crc32": "AAAAAA==" } }, 400, "InvalidRequest"],
    ["more data than announced", { decodedLength: content.length - 1 }, 400, "IncompleteBody"],
    ["less data than announced", { decodedLength: content.length + 1 }, 400, "IncompleteBody"],
    ["no end", { change: (b) => b.subarray(0, 8300) }, 400, "IncompleteBody"],
    ["no last line", { kind: "signed", change: (b) => b.subarray(0, b.length - 2) }, 400, "IncompleteBody"],
    [
      "something behind the end",
      { kind: "signed", change: (b) => Buffer.concat([b, Buffer.from("more")]) },
      400,
      "IncompleteBody",
    ],
    ["a size that is none", { change: (b) => Buffer.concat([Buffer.from("zz"), b]) }, 400, "InvalidRequest"],
    ["a size below nothing", { change: (b) => Buffer.concat([Buffer.from("-"), b]) }, 400, "InvalidRequest"],
    [
      "a size beyond any object",
      { change: () => Buffer.from(`${"f".repeat(12)}\r\n${"x".repeat(100_000)}`), kind: "unsigned with trailer" },
      400,
      "IncompleteBody",
    ],
    ["a chunk header without end", { change: () => Buffer.alloc(20_000, "1") }, 400, "InvalidRequest"],
    [
      "trailers without end",
      { kind: "unsigned with trailer", change: () => Buffer.from(`0\r\n${"a:b\r\n".repeat(9000)}`), decodedLength: 0 },
      400,
      "InvalidRequest",
    ],
    [
      "no line break behind a chunk",
      { kind: "unsigned with trailer", change: () => Buffer.from("1\r\nxx1\r\nx\r\n0\r\n\r\n"), decodedLength: 2 },
      400,
      "IncompleteBody",
    ],
    ["a length that is none", { headers: { "x-amz-decoded-content-length": "many" } }, 400, "InvalidArgument"],
    ["more than fits into an object", { decodedLength: 5 * 1024 ** 3 + 1 }, 400, "EntityTooLarge"],
  ];

  it.each(cases)("is refused with %s, and leaves nothing", async (_, options, status, code) => {
    expect(await putChunks("chunks/refused", options)).toMatchObject({ status, code });
    expect(await present("chunks/refused")).toBe(false);
    await expect.poll(() => readdir(join(kit.dataDir, "tmp"))).toEqual([]);
  });
});
