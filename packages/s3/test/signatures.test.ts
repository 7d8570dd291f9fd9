import { PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RawAnswer, sendRaw, sendSigned, signatureOf, signedHeaders } from "./_raw.ts";
import { ROOT, type TestServer, testServer } from "./_server.ts";

let kit: TestServer;
const bucket = "test";
/** Of the server. */
let nowMs = Date.UTC(2026, 10, 23, 12);

beforeAll(async () => {
  kit = await testServer({ now: () => nowMs });
});
afterAll(() => kit[Symbol.asyncDispose]());

async function bytesOf(key: string): Promise<string> {
  await using own = await reader();
  return (await own.client.getBytes({ bucket, key })).toString();
}

/** Our client signs by this machine's clock. */
async function reader() {
  const beforeMs = nowMs;
  nowMs = Date.now();
  return {
    client: kit.client(),
    [Symbol.asyncDispose]: async () => {
      nowMs = beforeMs;
    },
  };
}

describe("a path is signed as it is documented", () => {
  const NAMES: [sent: string, canonical: string, key: string][] = [
    ["plain", "plain", "plain"],
    ["a%20b", "a%20b", "a b"],
    ["a+b", "a%2Bb", "a+b"],
    ["%e9%9b%aa-%C3%A9", "%E9%9B%AA-%C3%A9", "雪-é"],
    ["e%CC%81", "e%CC%81", "e\u0301"],
    ["%F0%9F%98%80", "%F0%9F%98%80", "😀"],
    ["%7Ea-_.~", "~a-_.~", "~a-_.~"],
    ["!'()*", "%21%27%28%29%2A", "!'()*"],
    ["a@b:c;d=e&f,g$h", "a%40b%3Ac%3Bd%3De%26f%2Cg%24h", "a@b:c;d=e&f,g$h"],
    ["%2525", "%2525", "%25"],
    ["%3F%23", "%3F%23", "?#"],
    ["%00%01%7F", "%00%01%7F", "\u0000\u0001\u007f"],
    ["a//b", "a//b", "a//b"],
    ["/lead", "/lead", "/lead"],
    ["trail/", "trail/", "trail/"],
    ["a/./b", "a/./b", "a/./b"],
    ["a/../b", "a/../b", "a/../b"],
    ["%2e%2E/x", "../x", "../x"],
    ["..", "..", ".."],
    ["one%2Ftwo", "one/two", "one/two"],
    ["a%5Cb%22%3C%3E%7C", "a%5Cb%22%3C%3E%7C", 'a\\b"<>|'],
  ];

  it.each(NAMES)("%s", async (sent, canonical, key) => {
    const body = `body of ${key}`;
    const path = `/test/${sent}`;
    const put = { method: "PUT", path, headers: {}, body, atMs: nowMs, canonical: { path: `/test/${canonical}` } };
    expect(await sendSigned(kit.url, put)).toMatchObject({ status: 200 });
    expect(await bytesOf(key)).toBe(body);
    const other = { ...put, path: `/test/${sent}x` };
    expect(await sendSigned(kit.url, other)).toMatchObject({ status: 403, code: "SignatureDoesNotMatch" });
  });

  it.each(["%", "%4", "%zz", "%ff", "%C3", "%C0%AF", "%ED%A0%80"])("%s is no path at all", async (sent) => {
    const get = { method: "GET", path: `/test/${sent}`, headers: {}, atMs: nowMs };
    expect(await sendSigned(kit.url, get)).toMatchObject({ status: 400, code: "InvalidURI" });
  });
});

describe("a query is signed as it is documented", () => {
  const QUERIES: [sent: string, canonical: string, prefix: string][] = [
    ["list-type=2", "list-type=2", ""],
    ["prefix=&list-type=2", "list-type=2&prefix=", ""],
    ["prefix&list-type=2", "list-type=2&prefix=", ""],
    ["list-type=2&prefix=q%20a", "list-type=2&prefix=q%20a", "q a"],
    ["list-type=2&prefix=q+a", "list-type=2&prefix=q%20a", "q a"],
    ["list-type=2&prefix=q%2Ba", "list-type=2&prefix=q%2Ba", "q+a"],
    ["list-type=2&prefix=q=a", "list-type=2&prefix=q%3Da", "q=a"],
    ["list-type=2&prefix=q/%26", "list-type=2&prefix=q%2F%26", "q/&"],
    ["list-type=2&prefix=q%c3%a9", "list-type=2&prefix=q%C3%A9", "qé"],
    ["prefix=q~*&max-keys=5&list-type=2&delimiter=", "delimiter=&list-type=2&max-keys=5&prefix=q~%2A", "q~*"],
    ["&&prefix=q%00&list-type=2&", "list-type=2&prefix=q%00", "q\u0000"],
  ];

  it.each(QUERIES)("?%s", async (sent, query, prefix) => {
    const get = { method: "GET", path: `/test?${sent}`, headers: {}, atMs: nowMs, canonical: { query } };
    const answer = await sendSigned(kit.url, get);
    expect(answer.status, answer.body).toBe(200);
    const written = prefix.replace("&", "&amp;").replace("\u0000", "&#x0;");
    expect(answer.body).toContain(`<Prefix>${written}</Prefix>`);
    const changed = { ...get, path: `/test?${sent}&max-keys=1` };
    expect(await sendSigned(kit.url, changed)).toMatchObject({ status: 403, code: "SignatureDoesNotMatch" });
  });
});

describe("headers are signed as it is documented", () => {
  const put = (headers: Record<string, string>, canonical: Record<string, string>) =>
    sendSigned(kit.url, {
      method: "PUT",
      path: "/test/headers",
      headers,
      body: "x",
      atMs: nowMs,
      canonical: { headers: canonical },
    });
  const head = async (): Promise<RawAnswer> =>
    sendSigned(kit.url, { method: "HEAD", path: "/test/headers", headers: {}, atMs: nowMs });

  it("runs of blanks count as one, those around not at all", async () => {
    expect(await put({ "x-amz-meta-a": "  one   two\t three " }, { "x-amz-meta-a": "one two three" })).toMatchObject({
      status: 200,
    });
  });

  it("text that is not ASCII is taken as its UTF-8 bytes, and comes back as they were", async () => {
    // "à" ends in the byte A0, which is a blank in Latin-1.
    for (const text of ["à la carte", "雪", "é\u00a0è", "😀"]) {
      const wire = Buffer.from(text).toString("latin1");
      expect(await put({ "x-amz-meta-a": wire }, { "x-amz-meta-a": text }), text).toMatchObject({ status: 200 });
      const { headers } = await head();
      expect(Buffer.from(String(headers["x-amz-meta-a"]), "latin1").toString()).toBe(text);
    }
  });

  it("the AWS SDK's way to send Latin-1 is understood, too", async () => {
    nowMs = Date.now();
    const Metadata = { name: "Crème brûlée" };
    await kit.aws().send(new PutObjectCommand({ Bucket: bucket, Key: "latin", Body: "x", Metadata }));
    expect((await kit.client().head({ bucket, key: "latin" }))?.metadata).toEqual(Metadata);
  });

  it("one header sent twice counts as a list", async () => {
    const answer = await sendRaw(kit.url, {
      method: "GET",
      path: "/test/headers",
      headers: signedHeaders(kit.url, {
        method: "GET",
        path: "/test/headers",
        headers: { "x-amz-meta-list": "a,b" },
        atMs: nowMs,
      }),
    });
    expect(answer.status).toBe(200);
  });
});

describe("an Authorization header", () => {
  const path = "/test/headers";
  const good = () => signedHeaders(kit.url, { method: "GET", path, headers: {}, atMs: nowMs });
  const send = (headers: Record<string, string>) => sendRaw(kit.url, { method: "GET", path, headers });
  const malformed = { status: 400, code: "AuthorizationHeaderMalformed" };

  it("is good in any order and with any blanks between its fields", async () => {
    const headers = good();
    const [, ...fields] = headers.authorization?.split(/,? /) ?? [];
    for (const authorization of [fields.toReversed().join(","), fields.join(",   "), fields.join(" , ")])
      expect(await send({ ...headers, authorization: `AWS4-HMAC-SHA256 ${authorization}` })).toMatchObject({
        status: 200,
      });
  });

  it.each([
    ["without credential", /Credential=[^,]+, /, ""],
    ["without signed headers", /SignedHeaders=[^,]+, /, ""],
    ["without signature", /, Signature=\w+/, ""],
    ["with a scope too short", /\/us-east-1\/s3/, "/s3"],
    ["with a day that is none", /\/\d{8}\//, "/today/"],
    ["with another service", /\/s3\//, "/ec2/"],
    ["with STS's service", /\/s3\//, "/sts/"],
    ["with the day before", /\/20261123\//, "/20261122/"],
    ["that ends otherwise", /aws4_request/, "aws4_requests"],
  ])("is malformed %s", async (_, pattern, by) => {
    nowMs = Date.UTC(2026, 10, 23, 12);
    const headers = good();
    const authorization = headers.authorization?.replace(pattern, by) ?? "";
    expect(authorization).not.toBe(headers.authorization);
    expect(await send({ ...headers, authorization })).toMatchObject(malformed);
  });

  it.each([
    ["of version 2", "AWS KEY:c2lnbmF0dXJl", 400, "InvalidRequest"],
    ["of HTTP", "Basic dXNlcjpwYXNz", 400, "InvalidRequest"],
    ["of version 4A", "AWS4-ECDSA-P256-SHA256 Credential=a", 400, "InvalidRequest"],
    ["that is empty", "", 400, "InvalidRequest"],
  ])("is refused %s", async (_, authorization, status, code) => {
    expect(await send({ ...good(), authorization })).toMatchObject({ status, code });
  });

  it("does not cover what it does not name: the host, x-amz headers, the signature's own case", async () => {
    const headers = good();
    const upper = headers.authorization?.replace(
      /Signature=(\w+)/,
      (_, hex: string) => `Signature=${hex.toUpperCase()}`,
    );
    expect(await send({ ...headers, authorization: upper ?? "" })).toMatchObject({ code: "SignatureDoesNotMatch" });
    const { authorization } = signatureOf({
      method: "GET",
      path,
      headers: { "x-amz-date": headers["x-amz-date"] ?? "" },
      payloadHash: headers["x-amz-content-sha256"] ?? "",
      atMs: nowMs,
    });
    expect(await send({ ...headers, authorization })).toMatchObject({ status: 403, code: "AccessDenied" });
    expect(await send({ ...headers, host: "elsewhere.example" })).toMatchObject({ code: "SignatureDoesNotMatch" });
    expect(await send({ ...headers, "x-amz-copy-source": "/test/x" })).toMatchObject({ code: "AccessDenied" });
  });

  it.each([
    ["no hash", { "x-amz-content-sha256": undefined }, "InvalidRequest"],
    ["a hash in capitals", { "x-amz-content-sha256": "E".repeat(64) }, "InvalidArgument"],
    ["a hash too short", { "x-amz-content-sha256": "e3b0c442" }, "InvalidArgument"],
    ["a signing of chunks that nobody knows", { "x-amz-content-sha256": "STREAMING-AWS4-ECDSA" }, "NotImplemented"],
  ])("is refused with %s", async (_, change, code) => {
    const { "x-amz-content-sha256": hash } = change;
    const request = { method: "GET", path, headers: {}, atMs: nowMs };
    const headers = signedHeaders(kit.url, hash === undefined ? request : { ...request, payloadHash: hash });
    if (hash === undefined) delete headers["x-amz-content-sha256"];
    expect(await send(headers)).toMatchObject({ code });
  });

  it("may carry the time as Date; without any it is refused", async () => {
    const date = new Date(nowMs).toUTCString();
    const payloadHash = "UNSIGNED-PAYLOAD";
    const headers: Record<string, string> = { host: new URL(kit.url).host, date, "x-amz-content-sha256": payloadHash };
    const { authorization } = signatureOf({ method: "GET", path, headers, payloadHash, atMs: nowMs });
    expect(await send({ ...headers, authorization })).toMatchObject({ status: 200 });
    const { date: _, ...undated } = headers;
    expect(await send({ ...undated, authorization })).toMatchObject({ status: 403, code: "AccessDenied" });
    expect(await send({ ...headers, date: "yesterday", authorization })).toMatchObject({ code: "AccessDenied" });
    expect(await send({ ...good(), "x-amz-date": "2026-11-23T12:00:00Z" })).toMatchObject(malformed);
  });

  it("is good within 15 minutes of the server's clock, and not a second longer", async () => {
    const at = (skewMs: number) => sendSigned(kit.url, { method: "GET", path, headers: {}, atMs: nowMs + skewMs });
    for (const skewMs of [-900_000, 900_000]) expect(await at(skewMs)).toMatchObject({ status: 200 });
    for (const skewMs of [-901_000, 901_000])
      expect(await at(skewMs)).toMatchObject({ status: 403, code: "RequestTimeTooSkewed" });
  });
});

describe("a presigned URL", () => {
  const path = "/test/headers";
  const host = () => new URL(kit.url).host;

  /** The query of a presigned request; `change` sees the parameters before they are signed. */
  function presigned(
    change: (query: URLSearchParams) => void = () => undefined,
    canonical: { method?: string; atMs?: number; path?: string } = {},
  ) {
    const { method = "GET", atMs = nowMs } = canonical;
    const scope = `${new Date(atMs).toISOString().slice(0, 10).replaceAll("-", "")}/us-east-1/s3/aws4_request`;
    const query = new URLSearchParams({
      "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
      "X-Amz-Credential": `${ROOT.accessKeyId}/${scope}`,
      "X-Amz-Date": `${new Date(atMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`,
      "X-Amz-Expires": "60",
      "X-Amz-SignedHeaders": "host",
    });
    change(query);
    const encode = (text: string) =>
      encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
    const text = [...query]
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .sort()
      .join("&");
    const headers = { host: host() };
    const payloadHash = "UNSIGNED-PAYLOAD";
    const { hex } = signatureOf({ method, path: canonical.path ?? path, query: text, headers, payloadHash, atMs });
    return `${text}&X-Amz-Signature=${hex}`;
  }
  const get = (query: string, headers: Record<string, string> = {}) =>
    sendRaw(kit.url, { method: "GET", path: `${path}?${query}`, headers: { host: host(), ...headers } });
  const wrong = { status: 400, code: "AuthorizationQueryParametersError" };

  it("is good from 15 minutes before its time to its last second", async () => {
    for (const atMs of [nowMs + 900_000, nowMs, nowMs - 60_000])
      expect(await get(presigned(undefined, { atMs }))).toMatchObject({ status: 200 });
    expect(await get(presigned(undefined, { atMs: nowMs + 901_000 }))).toMatchObject({ code: "RequestTimeTooSkewed" });
    const late = await get(presigned(undefined, { atMs: nowMs - 61_000 }));
    expect(late).toMatchObject({ status: 403, code: "AccessDenied", body: expect.stringContaining("has expired") });
  });

  it.each(["0", "-1", "604801", "1e3", "60.5", "", " 60", "0x10"])("is none that expires after %j", async (value) => {
    expect(await get(presigned((query) => query.set("X-Amz-Expires", value)))).toMatchObject(wrong);
  });

  it("lasts seven days at most", async () => {
    const week = presigned((query) => query.set("X-Amz-Expires", "604800"), { atMs: nowMs - 604_799_000 });
    expect(await get(week)).toMatchObject({ status: 200 });
  });

  it.each(["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"])(
    "is none without %s",
    async (name) => {
      expect(await get(presigned((query) => query.delete(name)))).toMatchObject(wrong);
    },
  );

  it("is none without its signature, with another one, with a changed or an added parameter", async () => {
    const query = presigned((q) => q.set("response-content-type", "text/plain"));
    expect(await get(query)).toMatchObject({ status: 200, headers: { "content-type": "text/plain" } });
    expect(await get(query.replace(/&X-Amz-Signature=\w+/, ""))).toMatchObject(wrong);
    const refused = { status: 403, code: "SignatureDoesNotMatch" };
    expect(await get(query.replace(/Signature=\w/, "Signature=x"))).toMatchObject(refused);
    expect(await get(query.replace("text%2Fplain", "text%2Fhtml"))).toMatchObject(refused);
    expect(await get(`${query}&response-expires=never`)).toMatchObject(refused);
    expect(await get(`${query}&X-Amz-Expires=600`)).toMatchObject(refused);
    expect(await get(`${query}&X-Amz-Signature=${"0".repeat(64)}`)).toMatchObject(refused);
  });

  it("goes with one way of signing, and with headers that it does not name only where they change nothing", async () => {
    const query = presigned();
    const twice = signedHeaders(kit.url, { method: "GET", path: `${path}?${query}`, headers: {}, atMs: nowMs });
    expect(await get(query, twice)).toMatchObject({ status: 400, code: "InvalidArgument" });
    expect(await get(query, { "x-amz-meta-more": "1" })).toMatchObject({ status: 403, code: "AccessDenied" });
    expect(await get(query, { range: "bytes=0-0", "user-agent": "any" })).toMatchObject({ status: 206 });
  });

  it("may carry metadata as parameters; it comes back as if it had been in headers", async () => {
    const put = (key: string, metadata: Record<string, string>) => {
      const query = presigned(
        (q) => {
          for (const [name, value] of Object.entries(metadata)) q.set(`x-amz-meta-${name}`, value);
        },
        { method: "PUT", path: `/test/${key}` },
      );
      return sendRaw(kit.url, {
        method: "PUT",
        path: `/test/${key}?${query}`,
        headers: { host: host(), "content-length": "1" },
        body: "x",
      });
    };
    expect(await put("hoisted", { one: "plain", two: "雪 é" })).toMatchObject({ status: 200 });
    const head = await sendSigned(kit.url, { method: "HEAD", path: "/test/hoisted", headers: {}, atMs: nowMs });
    expect(head).toMatchObject({ status: 200, headers: { "x-amz-meta-one": "plain" } });
    expect(Buffer.from(String(head.headers["x-amz-meta-two"]), "latin1").toString()).toBe("雪 é");
    // What no header can hold is refused, not taken and then never given back.
    for (const metadata of [{ one: "line\nfeed" }, { one: "nul\u0000" }, { "a b": "x" }, { é: "x" }, { "": "x" }])
      expect(await put("unheard", metadata)).toMatchObject({ status: 400, code: "InvalidArgument" });
    const unheard = await sendSigned(kit.url, { method: "HEAD", path: "/test/unheard", headers: {}, atMs: nowMs });
    expect(unheard.status).toBe(404);
  });

  it("may set headers of the answer, where they are some", async () => {
    const answer = (value: string) => get(presigned((q) => q.set("response-content-disposition", value)));
    expect(await answer('attachment; filename="a.txt"')).toMatchObject({
      status: 200,
      headers: { "content-disposition": 'attachment; filename="a.txt"' },
    });
    for (const value of ["attachment\r\nset-cookie: a=b", "nul\u0000", "attachment; filename=雪"])
      expect(await answer(value)).toMatchObject({ status: 400, code: "InvalidArgument" });
  });
});

it("parameters of a request signed in its header are no headers", async () => {
  const put = { method: "PUT", path: "/test/not-hoisted?x-amz-meta-a=1", headers: {}, body: "x", atMs: nowMs };
  expect(await sendSigned(kit.url, put)).toMatchObject({ status: 200 });
  const { headers } = await sendSigned(kit.url, {
    method: "HEAD",
    path: "/test/not-hoisted",
    headers: {},
    atMs: nowMs,
  });
  expect(Object.keys(headers).filter((name) => name.startsWith("x-amz-meta"))).toEqual([]);
});
