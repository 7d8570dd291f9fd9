import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { CopyObjectCommand, DeleteObjectCommand, DeleteObjectsCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sendSigned } from "./_raw.ts";
import { refusal, type TestServer, testServer } from "./_server.ts";

let kit: TestServer;
const Bucket = "test";
beforeAll(async () => {
  kit = await testServer({ durable: false });
});
afterAll(() => kit[Symbol.asyncDispose]());

const put = (Key: string, extra: object = {}) =>
  kit.aws().send(new PutObjectCommand({ Bucket, Key, Body: Key, ...extra }));
const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: Buffer | string) =>
  sendSigned(kit.url, { method, path, headers, ...(body === undefined ? {} : { body }) });
const present = async (key: string) => (await kit.client().head({ bucket: Bucket, key })) !== undefined;

describe("a range", () => {
  beforeAll(async () => {
    await put("range", { Body: "0123456789" });
    await put("range-empty", { Body: "" });
    // More than is read at once, and more than comes along with the footer.
    await put("range-large", { Body: Buffer.from(Array.from({ length: 700_000 }, (_, i) => i % 251)) });
  });

  it.each([
    ["bytes=0-0", "0", "bytes 0-0/10"],
    ["bytes=9-9", "9", "bytes 9-9/10"],
    ["bytes=0-9", "0123456789", "bytes 0-9/10"],
    ["bytes=3-", "3456789", "bytes 3-9/10"],
    ["bytes=-3", "789", "bytes 7-9/10"],
    ["bytes=-10", "0123456789", "bytes 0-9/10"],
    ["bytes=-100", "0123456789", "bytes 0-9/10"],
    ["bytes=8-99999999999999999999", "89", "bytes 8-9/10"],
  ])("%s is part of the object", async (range, body, contentRange) => {
    const answer = await ask("GET", "/test/range", { range });
    expect(answer).toMatchObject({ status: 206, body, headers: { "content-range": contentRange } });
    expect(answer.headers["content-length"]).toBe(String(body.length));
    const head = await ask("HEAD", "/test/range", { range });
    expect(head).toMatchObject({ status: 206, body: "", headers: { "content-range": contentRange } });
  });

  it.each(["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"])("%s lies outside", async (range) => {
    const answer = await ask("GET", "/test/range", { range });
    expect(answer).toMatchObject({ status: 416, code: "InvalidRange" });
    expect(answer.body).toContain("<ActualObjectSize>10</ActualObjectSize>");
  });

  it.each(["bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes 0-1", "0-1"])(
    "%j is none, and the whole object comes",
    async (range) => {
      const answer = await ask("GET", "/test/range", { range });
      expect(answer).toMatchObject({ status: 200, body: "0123456789" });
      expect(answer.headers["content-range"]).toBeUndefined();
    },
  );

  it("of an empty object there is none", async () => {
    for (const range of ["bytes=0-", "bytes=0-0", "bytes=-1"])
      expect(await ask("GET", "/test/range-empty", { range })).toMatchObject({ status: 416 });
    expect(await ask("GET", "/test/range-empty")).toMatchObject({ status: 200, body: "" });
  });

  it("of a large object is right wherever it begins and ends", async () => {
    const client = kit.client();
    const whole = await client.getBytes({ bucket: Bucket, key: "range-large" });
    for (const border of [0, 65_536, 262_144, 524_288, 700_000])
      for (const [from, to] of [
        [-1, 0],
        [0, 1],
        [-1, 262_145],
        [-262_144, -1],
      ] as const) {
        const start = Math.max(0, Math.min(border + from, whole.length - 1));
        const end = Math.max(start, Math.min(border + to, whole.length - 1));
        const got = await client.getBytes({ bucket: Bucket, key: "range-large", range: { start, end } });
        expect(got.equals(whole.subarray(start, end + 1)), `${start}-${end}`).toBe(true);
      }
  });

  it("counts where If-Range names the object as it is", async () => {
    const { headers } = await ask("HEAD", "/test/range");
    const [etag = "", modified = ""] = [headers.etag, headers["last-modified"]];
    const status = async (ifRange: string) =>
      (await ask("GET", "/test/range", { range: "bytes=0-0", "if-range": ifRange })).status;
    expect(await Promise.all([etag, modified].map(status))).toEqual([206, 206]);
    expect(await Promise.all(['"other"', `W/${etag}`, new Date(0).toUTCString(), "nonsense"].map(status))).toEqual([
      200, 200, 200, 200,
    ]);
  });
});

describe("conditions of a read, as S3 documents them together", () => {
  let etag = "";
  const past = new Date(Date.now() - 3600_000).toUTCString();
  const future = new Date(Date.now() + 3600_000).toUTCString();
  beforeAll(async () => {
    etag = (await put("read")).ETag ?? "";
  });

  const cases: [what: string, headers: (etag: string) => Record<string, string>, status: number][] = [
    ["If-Match of the etag", (e) => ({ "if-match": e }), 200],
    ["If-Match of the etag without quotes", (e) => ({ "if-match": e.replaceAll('"', "") }), 200],
    ["If-Match of any", () => ({ "if-match": "*" }), 200],
    ["If-Match of a list with it", (e) => ({ "if-match": `"a", ${e} ,"b"` }), 200],
    ["If-Match of another", () => ({ "if-match": '"a"' }), 412],
    ["If-Match of the etag, unmodified since before", (e) => ({ "if-match": e, "if-unmodified-since": past }), 200],
    ["If-Match of another, unmodified since after", () => ({ "if-match": '"a"', "if-unmodified-since": future }), 412],
    ["If-None-Match of the etag", (e) => ({ "if-none-match": e }), 304],
    ["If-None-Match of the weak etag", (e) => ({ "if-none-match": `W/${e}` }), 304],
    ["If-None-Match of any", () => ({ "if-none-match": "*" }), 304],
    ["If-None-Match of another", () => ({ "if-none-match": '"a"' }), 200],
    ["If-None-Match of the etag, modified since", (e) => ({ "if-none-match": e, "if-modified-since": past }), 304],
    [
      "If-None-Match of another, not modified since",
      () => ({ "if-none-match": '"a"', "if-modified-since": future }),
      200,
    ],
    ["If-Match and If-None-Match of the etag", (e) => ({ "if-match": e, "if-none-match": e }), 304],
    ["modified since before", () => ({ "if-modified-since": past }), 200],
    ["modified since after", () => ({ "if-modified-since": future }), 304],
    ["unmodified since before", () => ({ "if-unmodified-since": past }), 412],
    ["unmodified since after", () => ({ "if-unmodified-since": future }), 200],
    ["dates that are none", () => ({ "if-modified-since": "x", "if-unmodified-since": "y" }), 200],
  ];

  it.each(cases)("%s", async (_, headers, status) => {
    for (const method of ["GET", "HEAD"]) {
      const answer = await ask(method, "/test/read", headers(etag));
      expect(answer.status).toBe(status);
      if (status === 304) expect([answer.body, answer.headers.etag]).toEqual(["", etag]);
    }
    // The same of a copy's source; there "not modified" is a refusal.
    const copied = Object.entries(headers(etag)).map(([name, value]) => [`x-amz-copy-source-${name}`, value]);
    const copy = await ask("PUT", "/test/read-copy", {
      "x-amz-copy-source": "/test/read",
      ...Object.fromEntries(copied),
    });
    expect(copy.status).toBe(status === 304 ? 412 : status);
  });
});

describe("conditions of a write", () => {
  it("If-Match: the etag, any, another, none to match", async () => {
    const { ETag } = await put("write");
    expect((await refusal(put("write", { IfMatch: '"other"' }))).code).toBe("PreconditionFailed");
    expect((await refusal(put("write-none", { IfMatch: "*" }))).code).toBe("NoSuchKey");
    const second = await put("write", { IfMatch: ETag, Body: "second" });
    expect((await refusal(put("write", { IfMatch: ETag }))).code).toBe("PreconditionFailed");
    await put("write", { IfMatch: "*", Body: "third" });
    expect((await refusal(put("write", { IfMatch: second.ETag }))).code).toBe("PreconditionFailed");
    expect((await kit.client().getBytes({ bucket: Bucket, key: "write" })).toString()).toBe("third");
    expect((await refusal(put("write", { IfNoneMatch: "*" }))).code).toBe("PreconditionFailed");
    expect((await refusal(put("write", { IfNoneMatch: ETag }))).code).toBe("NotImplemented");
  });

  it("hold for copies, too", async () => {
    const { ETag } = await put("copy-from");
    const copy = (extra: object) =>
      kit.aws().send(new CopyObjectCommand({ Bucket, Key: "copy-to", CopySource: "test/copy-from", ...extra }));
    expect((await refusal(copy({ IfMatch: ETag }))).code).toBe("NoSuchKey");
    await copy({ IfNoneMatch: "*" });
    expect((await refusal(copy({ IfNoneMatch: "*" }))).code).toBe("PreconditionFailed");
    await copy({ IfMatch: ETag });
    expect(await readdir(join(kit.dataDir, "tmp"))).toEqual([]);
  });

  it("hold for deletes, one or many; those that this server does not know delete nothing", async () => {
    const { ETag } = await put("delete");
    const remove = (extra: object) => kit.aws().send(new DeleteObjectCommand({ Bucket, Key: "delete", ...extra }));
    const bulk = (extra: object) =>
      kit.aws().send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: "delete", ...extra }] } }));
    expect((await refusal(remove({ IfMatch: '"other"' }))).code).toBe("PreconditionFailed");
    expect((await bulk({ ETag: '"other"' })).Errors).toMatchObject([{ Code: "PreconditionFailed" }]);
    for (const extra of [{ IfMatchSize: 1 }, { IfMatchLastModifiedTime: new Date(0) }])
      expect(await refusal(remove(extra))).toEqual({ status: 501, code: "NotImplemented" });
    for (const extra of [{ Size: 1 }, { LastModifiedTime: new Date(0) }, { VersionId: "1" }])
      expect(await refusal(bulk(extra))).toEqual({ status: 501, code: "NotImplemented" });
    expect(await present("delete")).toBe(true);
    await bulk({ ETag });
    expect(await present("delete")).toBe(false);
    await remove({});
  });
});
