import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { createS3Client, probe, S3Error } from "../src/index.ts";
import { REGION, ROOT, testServer } from "./_server.ts";

const bucket = "test";

/** A server that answers as told. */
async function fakeServer(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server: Server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function clientOf(endpoint: string) {
  return createS3Client({ endpoint, region: REGION, credentials: ROOT });
}

describe("the client", () => {
  it("puts, gets, heads, lists, copies, deletes", async () => {
    await using kit = await testServer();
    const client = kit.client();
    const body = randomBytes(300_000);
    const key = "a b/ü+%.bin";
    const put = await client.put({ bucket, key, body, contentType: "x/y", metadata: { run: "1" } });
    expect(await client.head({ bucket, key })).toMatchObject({
      sizeBytes: 300_000,
      contentType: "x/y",
      metadata: { run: "1" },
      etag: put.etag,
    });
    expect((await client.getBytes({ bucket, key })).equals(body)).toBe(true);
    const range = await client.get({ bucket, key, range: { start: 10, end: 19 } });
    expect(range.sizeBytes).toBe(300_000);
    expect(Buffer.concat(await range.body.toArray()).equals(body.subarray(10, 20))).toBe(true);
    expect(await client.copy({ bucket, key: "c/copy", from: { bucket, key } })).toEqual(put);
    for (let i = 0; i < 5; i++) await client.put({ bucket, key: `l/${i}`, body: "x" });
    const pages: string[][] = [];
    for await (const page of client.list({ bucket, prefix: "l/", pageSize: 2 }))
      pages.push(page.objects.map((o) => o.key));
    expect(pages).toEqual([["l/0", "l/1"], ["l/2", "l/3"], ["l/4"]]);
    for await (const page of client.list({ bucket, delimiter: "/" }))
      expect(page.commonPrefixes).toEqual(["a b/", "c/", "l/"]);
    await client.delete({ bucket, key });
    expect(await client.head({ bucket, key })).toBeUndefined();
    expect(await client.createBucket({ bucket })).toBe(false);
    expect(await client.createBucket({ bucket: "another" })).toBe(true);
    expect([await client.bucketExists({ bucket }), await client.bucketExists({ bucket: "not-there" })]).toEqual([
      true,
      false,
    ]);
  });

  it("sends a stream of known length, checked by its SHA-256 where it is given", async () => {
    await using kit = await testServer();
    const client = kit.client();
    const pieces = [randomBytes(100_000), randomBytes(200_000)];
    const stream = (sha256?: string) => ({ lengthBytes: 300_000, sha256, open: () => Readable.from(pieces) });
    await client.put({ bucket, key: "streamed", body: stream() });
    expect((await client.getBytes({ bucket, key: "streamed" })).equals(Buffer.concat(pieces))).toBe(true);
    const wrong = client.put({ bucket, key: "wrong", body: stream("0".repeat(64)) });
    await expect(wrong).rejects.toMatchObject({ code: "XAmzContentSHA256Mismatch", status: 400 });
    const bad = client.put({ bucket, key: "wrong", body: "x", checksumSha256: "0".repeat(64) });
    await expect(bad).rejects.toMatchObject({ code: "BadDigest" });
  });

  it("says what happened, where, and what to do", async () => {
    await using kit = await testServer();
    const error = await kit
      .client()
      .put({ bucket: "missing", key: "k", body: "x" })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(S3Error);
    expect(error).toMatchObject({ code: "NoSuchBucket", status: 404, bucket: "missing", key: "k" });
    expect((error as S3Error).message).toMatch(/s3:\/\/missing\/k.*create the bucket/);
    expect((error as S3Error).requestId).toMatch(/^[0-9A-F]{16}$/);
    const taken = { bucket, key: "once", body: "x", ifNoneMatch: "*" as const };
    await kit.client().put(taken);
    await expect(kit.client().put(taken)).rejects.toMatchObject({ code: "PreconditionFailed", status: 412 });
  });

  it("tries again after 503, 500 and a cut connection, not after 403 or 507", async () => {
    const answers: (number | "cut")[] = [503, "cut", 500, 200, 403, 507];
    let calls = 0;
    await using fake = await fakeServer((request, response) => {
      request.resume();
      const answer = answers[calls++] ?? 200;
      if (answer === "cut") request.socket.destroy();
      else request.on("end", () => response.writeHead(answer, { etag: '"e"' }).end());
    });
    using client = clientOf(fake.url);
    expect(await client.put({ bucket, key: "k", body: "x" })).toEqual({ etag: "e" });
    expect(calls).toBe(4);
    await expect(client.put({ bucket, key: "k", body: "x" })).rejects.toMatchObject({ status: 403 });
    await expect(client.put({ bucket, key: "k", body: "x" })).rejects.toMatchObject({ status: 507 });
    expect(calls).toBe(6);
  });

  it("gives up at its deadline and at once when told", async () => {
    await using fake = await fakeServer(() => undefined);
    using client = clientOf(fake.url);
    await expect(client.head({ bucket, key: "k", timeoutMs: 50 })).rejects.toMatchObject({
      name: "S3Error",
      code: "TimeoutError",
    });
    const abort = new AbortController();
    const call = client.getBytes({ bucket, key: "k", signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
  });

  it("names the endpoint's absence", async () => {
    await using fake = await fakeServer(() => undefined);
    const { url } = fake;
    await fake[Symbol.asyncDispose]();
    using client = createS3Client({ endpoint: url, region: REGION, credentials: ROOT, attempts: 1 });
    await expect(client.head({ bucket, key: "k" })).rejects.toMatchObject({
      code: "ECONNREFUSED",
      status: 0,
      remedy: expect.stringContaining("endpoint"),
    });
  });
});

describe("the client, of a body,", () => {
  const announced = 100_000;
  const stream = (bytes: number) => ({
    lengthBytes: announced,
    async *open() {
      for (let left = bytes; left > 0; left -= 10_000) yield Buffer.alloc(Math.min(left, 10_000), "x");
    },
  });

  it.each([0, announced - 1, announced + 1, 3 * announced])(
    "refuses %i bytes where 100000 were announced, at once",
    async (bytes) => {
      await using kit = await testServer();
      using client = createS3Client({ endpoint: kit.url, region: REGION, credentials: ROOT, maxSockets: 1 });
      const put = client.put({ bucket, key: "length", body: stream(bytes), timeoutMs: 10_000 });
      await expect(put).rejects.toMatchObject({
        code: "BodyLengthMismatch",
        message: expect.stringContaining("100000 bytes announced"),
      });
      // The connection is not one on which another request could read what was too much.
      await client.put({ bucket, key: "next", body: stream(announced) });
      expect(await client.head({ bucket, key: "length" })).toBeUndefined();
      expect((await client.getBytes({ bucket, key: "next" })).length).toBe(announced);
    },
  );

  it("reads all of it or says why not: cut connections are tried again, drips end with the deadline", async () => {
    const whole = randomBytes(50_000);
    let calls = 0;
    await using fake = await fakeServer((request, response) => {
      calls += 1;
      response.writeHead(200, { "content-length": String(whole.length), etag: '"e"' });
      if (request.url?.endsWith("/cut") && calls < 3)
        response.write(whole.subarray(0, 1000), () => request.socket.destroy());
      else if (request.url?.endsWith("/drip")) {
        const drip = setInterval(() => response.write("x"), 20);
        response.on("close", () => clearInterval(drip));
      } else response.end(whole);
    });
    using client = clientOf(fake.url);
    expect((await client.getBytes({ bucket, key: "cut" })).equals(whole)).toBe(true);
    expect(calls).toBe(3);
    await expect(client.getBytes({ bucket, key: "drip", timeoutMs: 300 })).rejects.toMatchObject({
      name: "S3Error",
      code: "TimeoutError",
    });
    const abort = new AbortController();
    const call = client.getBytes({ bucket, key: "drip", signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
  });
});

describe("the client refuses, before it sends anything,", () => {
  it.each([
    ["an empty key", { key: "" }],
    ["a key that is no text", { key: "\ud800" }],
    ["metadata that no header can hold", { key: "k", metadata: { a: "line\nfeed" } }],
    ["metadata with such a name", { key: "k", metadata: { "a b": "x" } }],
  ])("%s", async (_, what) => {
    let calls = 0;
    await using fake = await fakeServer((request, response) => {
      calls += 1;
      request.resume();
      response.end();
    });
    using client = clientOf(fake.url);
    const error = await client.put({ bucket, body: "x", ...what }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "S3Error", code: "InvalidArgument", status: 0 });
    expect((error as S3Error).message).not.toContain("no answer");
    expect(calls).toBe(0);
  });

  it("an empty key of whatever else: it would be the bucket's", async () => {
    await using kit = await testServer();
    const client = kit.client();
    const refused = { code: "InvalidArgument" };
    await expect(client.delete({ bucket, key: "" })).rejects.toMatchObject(refused);
    await expect(client.getBytes({ bucket, key: "" })).rejects.toMatchObject(refused);
    await expect(client.head({ bucket, key: "" })).rejects.toMatchObject(refused);
    await expect(client.copy({ bucket, key: "", from: { bucket, key: "x" } })).rejects.toMatchObject(refused);
    await expect(client.copy({ bucket, key: "x", from: { bucket, key: "\udc00" } })).rejects.toMatchObject(refused);
    expect(() => client.presign({ method: "DELETE", bucket, key: "", expiresSeconds: 60 })).toThrow(S3Error);
    expect(await client.bucketExists({ bucket })).toBe(true);
  });

  it("nothing that is odd but right: text beyond ASCII comes back", async () => {
    await using kit = await testServer();
    const metadata = { name: "雪 Crème brûlée 😀" };
    await kit.client().put({ bucket, key: "odd", body: "x", metadata });
    expect((await kit.client().head({ bucket, key: "odd" }))?.metadata).toEqual(metadata);
  });
});

describe("the probe", () => {
  const options = (endpoint: string) => ({ endpoint, region: REGION, credentials: ROOT, bucket });

  it("finds session policies enforced by our server, and leaves nothing", async () => {
    await using kit = await testServer();
    expect(await probe(options(kit.url))).toMatchObject({ sts: "enforced" });
    for await (const page of kit.client().list({ bucket })) expect(page.objects).toEqual([]);
  });

  const STS = `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2040-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`;

  it("is not fooled by a server that gives credentials and ignores the policy", async () => {
    await using fake = await fakeServer((request, response) => {
      request.resume().on("end", () => response.end(request.method === "POST" ? STS : ""));
    });
    expect(await probe(options(fake.url))).toMatchObject({
      sts: "not_enforced",
      why: expect.stringContaining("write outside"),
    });
  });

  it("says when there is no STS", async () => {
    await using fake = await fakeServer((request, response) => {
      request.resume().on("end", () => response.writeHead(request.method === "POST" ? 501 : 200).end());
    });
    expect(await probe(options(fake.url))).toMatchObject({ sts: "absent" });
  });

  it("fails where root itself cannot write", async () => {
    await using kit = await testServer();
    await expect(probe({ ...options(kit.url), bucket: "missing" })).rejects.toMatchObject({ code: "NoSuchBucket" });
  });
});
