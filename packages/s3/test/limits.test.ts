import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { DeleteObjectsCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ObjectStore } from "../src/server/store/store.ts";
import { sendRaw, sendSigned, signedHeaders } from "./_raw.ts";
import { type TestServer, tempDir, testServer } from "./_server.ts";

let kit: TestServer;
const Bucket = "test";
beforeAll(async () => {
  kit = await testServer({ durable: false });
});
afterAll(() => kit[Symbol.asyncDispose]());

const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: Buffer | string) =>
  sendSigned(kit.url, { method, path, headers, ...(body === undefined ? {} : { body }) });
const present = async (key: string) => (await kit.client().head({ bucket: Bucket, key })) !== undefined;

describe("limits", () => {
  it.each([
    ["ASCII", "k".repeat(1024)],
    ["two bytes each", "é".repeat(512)],
    ["control characters", "\u0001".repeat(1024)],
    ["nothing but slashes", "/".repeat(1024)],
    ["percent signs and slashes", "%/".repeat(512)],
    ["the last of many", `${"d/".repeat(500)}${"x".repeat(24)}`],
  ])("a key of 1024 bytes is kept: %s", async (_, key) => {
    await using own = await testServer({ durable: false });
    const client = own.client();
    await client.put({ bucket: Bucket, key, body: "long" });
    expect((await client.getBytes({ bucket: Bucket, key })).toString()).toBe("long");
    const found: string[] = [];
    for await (const page of client.list({ bucket: Bucket, prefix: key.slice(0, 700) }))
      found.push(...page.objects.map((o) => o.key));
    expect(found).toEqual([key]);
    await client.copy({ bucket: Bucket, key: "short", from: { bucket: Bucket, key } });
    await client.delete({ bucket: Bucket, key });
    await client.delete({ bucket: Bucket, key: "short" });
    expect(await readdir(join(own.dataDir, "buckets/test"))).toEqual([]);
  });

  it("one of 1025 bytes is refused by every operation, as a source as well", async () => {
    const long = "\u0001".repeat(1025);
    const path = `/test/${encodeURIComponent(long)}`;
    const refused = { status: 400, code: "KeyTooLongError" };
    expect(await ask("PUT", path, {}, "x")).toMatchObject(refused);
    for (const method of ["GET", "DELETE"]) expect(await ask(method, path)).toMatchObject(refused);
    expect(await ask("POST", `${path}?uploads=`)).toMatchObject(refused);
    // So long that no file can have the name.
    const source = `/test/${encodeURIComponent("\u0001".repeat(2000))}`;
    expect(await ask("PUT", "/test/long-source", { "x-amz-copy-source": source })).toMatchObject(refused);
    const bulk = await kit
      .aws()
      .send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: "k".repeat(1025) }] } }));
    expect(bulk.Errors).toMatchObject([{ Code: "KeyTooLongError" }]);
  });

  it("metadata of 2 KB is kept, and not a byte more", async () => {
    const meta = (length: number) => ask("PUT", "/test/meta", { "x-amz-meta-four": "m".repeat(length - 4) }, "x");
    expect(await meta(2048)).toMatchObject({ status: 200 });
    expect((await ask("HEAD", "/test/meta")).headers["x-amz-meta-four"]).toHaveLength(2044);
    expect(await meta(2049)).toMatchObject({ status: 400, code: "MetadataTooLarge" });
  });

  it("what was acknowledged with the longest headers is readable", async () => {
    for (const filler of ['"', "\\", "\u00ff"]) {
      const long = filler.repeat(15_000);
      const headers = { "content-type": `a/${long}`, "cache-control": long };
      const sent = await sendSigned(kit.url, { method: "PUT", path: "/test/headers", headers, body: "x" });
      const back = await ask("GET", "/test/headers");
      if (sent.status === 200) expect([back.status, back.headers["cache-control"]]).toEqual([200, long]);
      else expect(sent.status).toBe(400);
    }
  });

  it("a list of at most a thousand keys is deleted at once, and only a list", async () => {
    const remove = (body: string) => ask("POST", "/test?delete=", { "content-type": "application/xml" }, body);
    const list = (count: number) =>
      `<Delete>${"<Object><Key>none</Key></Object>".repeat(count)}<Quiet>true</Quiet></Delete>`;
    expect(await remove(list(1000))).toMatchObject({ status: 200 });
    for (const body of [
      list(1001),
      list(0),
      "",
      "<Delete><Object></Object></Delete>",
      "<Remove/>",
      "{}",
      "<Delete>&x;</Delete>",
    ])
      expect(await remove(body), body.slice(0, 50)).toMatchObject({ status: 400, code: "MalformedXML" });
    const names = await remove("<Delete><Object><Key>a&amp;&#x3c;&#13; b</Key></Object></Delete>");
    expect(names.body).toContain("<Deleted><Key>a&amp;&lt;&#xd; b</Key></Deleted>");
    expect(await ask("POST", "/test?delete=", {}, Buffer.alloc(5 * 1024 * 1024, " "))).toMatchObject({
      code: "EntityTooLarge",
    });
  });
});

describe("what is asked for and is not there", () => {
  it.each([
    ["GET", "/test/none", 404, "NoSuchKey"],
    ["GET", "/none/x", 404, "NoSuchBucket"],
    ["GET", "/none", 404, "NoSuchBucket"],
    ["GET", "/..?list-type=2", 404, "NoSuchBucket"],
    ["PUT", "/none/x", 404, "NoSuchBucket"],
    ["DELETE", "/none", 404, "NoSuchBucket"],
    ["DELETE", "/none/x", 404, "NoSuchBucket"],
    ["DELETE", "/test/none", 204, undefined],
    ["POST", "/none/x?uploads=", 404, "NoSuchBucket"],
    ["GET", "/test?uploads=&delimiter=%2F", 501, "NotImplemented"],
    ["GET", "/test/x?versionId=1", 501, "NotImplemented"],
    ["GET", "/test/x?acl=", 501, "NotImplemented"],
    ["PUT", "/test/x?tagging=", 501, "NotImplemented"],
    ["DELETE", "/test?lifecycle=", 501, "NotImplemented"],
    ["POST", "/test/x", 501, "NotImplemented"],
    ["PATCH", "/test/x", 405, "MethodNotAllowed"],
    ["PUT", "/ab", 400, "InvalidBucketName"],
    ["PUT", "/192.168.1.1", 400, "InvalidBucketName"],
    ["PUT", "/a..b", 400, "InvalidBucketName"],
    ["PUT", `/${"b".repeat(64)}`, 400, "InvalidBucketName"],
  ])("%s %s is answered %i %s", async (method, path, status, code) => {
    const [plain = "", query = ""] = path.split("?");
    const canonical = { path: plain, query: query.split("&").sort().join("&") };
    const body = method === "PUT" ? { body: "" } : {};
    const answer = await sendSigned(kit.url, { method, path, headers: {}, canonical, ...body });
    expect(answer).toMatchObject({ status, code });
    if (code !== undefined) {
      expect(answer.headers["content-type"]).toBe("application/xml");
      expect(answer.body).toContain(`<RequestId>${String(answer.headers["x-amz-request-id"])}</RequestId>`);
    }
  });

  it("is said of HEAD by its status alone", async () => {
    for (const [path, status] of [
      ["/test/none", 404],
      ["/none", 404],
      ["/", 501],
    ] as const)
      expect(await ask("HEAD", path)).toMatchObject({ status, body: "" });
    expect((await ask("HEAD", "/test")).headers["x-amz-bucket-region"]).toBe("us-east-1");
  });

  it.each([
    ["/none/x", 404],
    ["/test/none", 404],
    ["test", 400],
    ["/test/", 400],
    ["/", 400],
    ["", 400],
    ["/test/a%zz", 400],
    ["/test/a?versionId=1", 400],
  ])("a copy of %j is refused", async (source, status) => {
    expect((await ask("PUT", "/test/copied", { "x-amz-copy-source": source })).status).toBe(status);
  });

  it("a header that asks for more than there is, is refused", async () => {
    for (const [name, value] of [
      ["x-amz-storage-class", "GLACIER"],
      ["x-amz-acl", "public-read"],
      ["x-amz-tagging", "a=b"],
      ["x-amz-object-lock-mode", "GOVERNANCE"],
      ["x-amz-server-side-encryption", "AES256"],
      ["x-amz-website-redirect-location", "/"],
    ] as const)
      expect(await ask("PUT", "/test/more", { [name]: value }, "x")).toMatchObject({
        status: 501,
        code: "NotImplemented",
      });
    expect(await present("more")).toBe(false);
    expect(
      await ask("PUT", "/test/more", { "x-amz-storage-class": "STANDARD", "x-amz-acl": "private" }, "x"),
    ).toMatchObject({ status: 200 });
  });
});

describe("a bucket that is not empty", () => {
  it("stays in its place while its deletion is refused", async () => {
    await using directory = await tempDir();
    await using store = await ObjectStore.open({ dataDir: directory.path, durable: false });
    await store.createBucket("full");
    await using sink = await store.createSink(0);
    const info = { sizeBytes: 0, etag: "x", modifiedMs: 0, headers: {}, metadata: {} };
    await store.commit({ bucket: "full", key: "deep/er/x" }, { sink, info });
    let settled = false;
    const deleted = store.deleteBucket("full").finally(() => {
      settled = true;
    });
    const refused = expect(deleted).rejects.toMatchObject({ code: "BucketNotEmpty" });
    while (!settled) {
      expect(store.hasBucket("full")).toBe(true);
      await nextTurn();
    }
    await refused;
    expect(await store.info({ bucket: "full", key: "deep/er/x" })).toBeDefined();
  });
});

it("every answer of a hostile header is one of HTTP's, and the server lives", async () => {
  await kit.client().put({ bucket: Bucket, key: "read", body: "x" });
  const headers = signedHeaders(kit.url, { method: "GET", path: "/test/read", headers: {} });
  const changes: Record<string, string>[] = [
    { range: "bytes=" + "9".repeat(10_000) },
    { "if-match": ",".repeat(10_000) },
    { "if-modified-since": "9".repeat(10_000) },
    { authorization: "AWS4-HMAC-SHA256 " + ",".repeat(10_000) },
    { authorization: `AWS4-HMAC-SHA256 Credential=${"/".repeat(10_000)}, SignedHeaders=host, Signature=x` },
    { authorization: (headers.authorization ?? "").replace("SignedHeaders=", `SignedHeaders=${"a;".repeat(5000)}`) },
    { "x-amz-security-token": "A".repeat(10_000) },
    { expect: "200-maybe" },
  ];
  for (const change of changes) {
    const { status } = await sendRaw(kit.url, {
      method: "GET",
      path: "/test/read",
      headers: { ...headers, ...change },
    });
    expect(status, JSON.stringify(change).slice(0, 60)).toBeGreaterThanOrEqual(200);
    expect(status, JSON.stringify(change).slice(0, 60)).toBeLessThan(500);
  }
  expect(await present("read")).toBe(true);
});
