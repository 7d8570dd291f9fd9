import { createHash } from "node:crypto";
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { assumeRole, type Credentials, prefixPolicy, S3Error, type TemporaryCredentials } from "../src/index.ts";
import { EMPTY_SHA256, sign } from "../src/wire/sigv4.ts";
import { signedHeaders as headersSignedFor, type RawRequest, type SignedRequest, sendRaw } from "./_raw.ts";
import { REGION, ROOT, type TestServer, testServer } from "./_server.ts";

let kit: TestServer;
let clockMs = Date.now();
const Bucket = "test";
const PREFIX = "docs/acc_x/1700000000/";

beforeAll(async () => {
  kit = await testServer({ now: () => clockMs });
});
afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});
// The clients sign by this machine's clock, which went on during the tests before.
beforeEach(() => {
  clockMs = Date.now();
});

const raw = (request: RawRequest) => sendRaw(kit.url, request);

/** Headers of a correctly signed request, by the server's clock. */
function signedHeaders(request: SignedRequest): Record<string, string> {
  return headersSignedFor(kit.url, { atMs: clockMs, ...request });
}

describe("signatures", () => {
  it("refuses strangers, wrong secrets, unknown keys and changed requests", async () => {
    const path = "/test/sig";
    const get = { method: "GET", path, headers: {} };
    expect(await raw(get)).toMatchObject({ status: 403, code: "AccessDenied" });
    const wrong = { ...ROOT, secretAccessKey: "another-secret-altogether" };
    expect(await raw({ ...get, headers: signedHeaders({ ...get, credentials: wrong }) })).toMatchObject({
      status: 403,
      code: "SignatureDoesNotMatch",
    });
    const unknown = { ...ROOT, accessKeyId: "NOBODY" };
    expect(await raw({ ...get, headers: signedHeaders({ ...get, credentials: unknown }) })).toMatchObject({
      status: 403,
      code: "InvalidAccessKeyId",
    });
    const other = { ...get, path: "/test/other", headers: signedHeaders(get) };
    expect(await raw(other)).toMatchObject({ status: 403, code: "SignatureDoesNotMatch" });
    const broken = { ...get, headers: { ...signedHeaders(get), authorization: "AWS4-HMAC-SHA256 nonsense" } };
    expect(await raw(broken)).toMatchObject({ status: 400, code: "AuthorizationHeaderMalformed" });
  });

  it("refuses a body that is not the one signed, and x-amz headers that were not signed", async () => {
    const put = { method: "PUT", path: "/test/body", headers: { "content-length": "4" }, body: "good" };
    const headers = signedHeaders(put);
    expect(await raw({ ...put, headers, body: "evil" })).toMatchObject({
      status: 400,
      code: "XAmzContentSHA256Mismatch",
    });
    const added = { ...put, headers: { ...headers, "x-amz-meta-added": "1" } };
    expect(await raw(added)).toMatchObject({ status: 403, code: "AccessDenied" });
    expect(await kit.client().head({ bucket: Bucket, key: "body" })).toBeUndefined();
    expect(await raw({ ...put, headers })).toMatchObject({ status: 200 });
  });

  it("refuses a body without length, a malformed URI, a form upload, DOCTYPE", async () => {
    const put = { method: "PUT", path: "/test/x", headers: {}, body: "x" };
    const chunked = {
      ...put,
      headers: { ...signedHeaders({ ...put, payloadHash: "UNSIGNED-PAYLOAD" }), "transfer-encoding": "chunked" },
    };
    expect(await raw(chunked)).toMatchObject({ status: 411, code: "MissingContentLength" });
    expect(await raw({ method: "GET", path: "/test/%ff", headers: {} })).toMatchObject({
      status: 400,
      code: "InvalidURI",
    });
  });
});

describe("presigned URLs", () => {
  const body = "exactly these bytes";
  const headers = {
    "content-length": String(body.length),
    "x-amz-checksum-sha256": createHash("sha256").update(body).digest("base64"),
    "if-none-match": "*",
  };

  it("bind an upload to length, bytes and first writer", async () => {
    // The AWS SDK and fetch set their clock; a presigned URL carries the signer's.
    const { pathname, search } = new URL(presign({ method: "PUT", key: "presigned/put", expiresSeconds: 60, headers }));
    const put = (changed: Record<string, string>, sent = body) =>
      raw({
        method: "PUT",
        path: pathname + search,
        headers: { host: new URL(kit.url).host, ...headers, ...changed },
        body: sent,
      });
    expect(await put({ "content-length": "5" }, "short")).toMatchObject({ status: 403, code: "SignatureDoesNotMatch" });
    expect(await put({ "x-amz-checksum-sha256": createHash("sha256").update("other").digest("base64") })).toMatchObject(
      { status: 403 },
    );
    expect(await put({}, "exactly those bytes")).toMatchObject({ status: 400, code: "BadDigest" });
    expect(await put({ "x-amz-copy-source": "/test/secret" })).toMatchObject({ status: 403 });
    expect(await put({})).toMatchObject({ status: 200 });
    expect(await put({})).toMatchObject({ status: 412, code: "PreconditionFailed" });
  });

  it("end when they said, and do only what they were made for", async () => {
    await kit.client().put({ bucket: Bucket, key: "presigned/get", body: "read me" });
    const url = new URL(presign({ method: "GET", key: "presigned/get", expiresSeconds: 60 }));
    const host = { host: url.host };
    const path = url.pathname + url.search;
    expect(await raw({ method: "GET", path, headers: host })).toMatchObject({ status: 200, body: "read me" });
    expect(await raw({ method: "DELETE", path, headers: host })).toMatchObject({ status: 403 });
    expect(
      await raw({ method: "GET", path: path.replace("presigned/get", "presigned/put"), headers: host }),
    ).toMatchObject({ status: 403 });
    clockMs = Date.now() + 61_000;
    const late = await raw({ method: "GET", path, headers: host });
    expect(late).toMatchObject({ status: 403, code: "AccessDenied" });
    expect(late.body).toContain("Request has expired");
  });

  function presign(options: {
    method: "GET" | "PUT";
    key: string;
    expiresSeconds: number;
    headers?: Record<string, string>;
  }): string {
    return kit.client().presign({ bucket: Bucket, ...options });
  }
});

describe("temporary credentials", () => {
  function ask(
    policy?: object,
    extra: { credentials?: Credentials; durationSeconds?: number } = {},
  ): Promise<TemporaryCredentials> {
    return assumeRole({
      endpoint: kit.url,
      region: REGION,
      credentials: ROOT,
      durationSeconds: 900,
      sessionName: "sync",
      policy,
      ...extra,
    });
  }
  const denied = { name: "AccessDenied", $metadata: { httpStatusCode: 403 } };

  it("are limited to put, get and list below their prefix", async () => {
    await kit.client().put({ bucket: Bucket, key: "docs/acc_y/1/secret", body: "theirs" });
    const aws = kit.aws(await ask(prefixPolicy(Bucket, PREFIX)));
    const Key = `${PREFIX}a/b.txt`;
    await aws.send(new PutObjectCommand({ Bucket, Key, Body: "mine" }));
    expect(await (await aws.send(new GetObjectCommand({ Bucket, Key }))).Body?.transformToString()).toBe("mine");
    expect((await aws.send(new ListObjectsV2Command({ Bucket, Prefix: PREFIX }))).KeyCount).toBe(1);
    const refused: Promise<unknown>[] = [
      aws.send(new PutObjectCommand({ Bucket, Key: "docs/acc_y/1700000000/x", Body: "x" })),
      aws.send(new PutObjectCommand({ Bucket, Key: "docs/acc_x/1700000001/x", Body: "x" })),
      aws.send(new GetObjectCommand({ Bucket, Key: "docs/acc_y/1/secret" })),
      aws.send(
        new GetObjectCommand({ Bucket, Key: `${PREFIX}../../acc_y/1/secret/../x`.replace(PREFIX, "docs/acc_x/") }),
      ),
      aws.send(new CopyObjectCommand({ Bucket, Key: `${PREFIX}stolen`, CopySource: `${Bucket}/docs/acc_y/1/secret` })),
      aws.send(new CopyObjectCommand({ Bucket, Key: "docs/acc_y/gift", CopySource: `${Bucket}/${Key}` })),
      aws.send(new DeleteObjectCommand({ Bucket, Key })),
      aws.send(new ListObjectsV2Command({ Bucket })),
      aws.send(new ListObjectsV2Command({ Bucket, Prefix: "docs/" })),
      aws.send(new ListObjectsV2Command({ Bucket, Prefix: "docs/acc_y/" })),
      aws.send(new ListBucketsCommand({})),
    ];
    for (const one of await Promise.allSettled(refused))
      expect(one).toMatchObject({ status: "rejected", reason: denied });
    const bulk = await aws.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key }] } }));
    expect(bulk.Errors).toMatchObject([{ Key, Code: "AccessDenied" }]);
    expect(await kit.client().head({ bucket: Bucket, key: Key })).toBeDefined();
  });

  it("have the caller's rights without a policy, and can never widen them", async () => {
    const full = kit.client(await ask());
    await full.put({ bucket: Bucket, key: "anywhere", body: "" });
    const narrow = await ask(prefixPolicy(Bucket, PREFIX));
    const all = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] };
    const nested = kit.client(await ask(all, { credentials: narrow }));
    await expect(nested.put({ bucket: Bucket, key: "anywhere", body: "" })).rejects.toMatchObject({
      code: "AccessDenied",
      status: 403,
    });
    await nested.put({ bucket: Bucket, key: `${PREFIX}nested`, body: "" });
  });

  it("end after their time and cannot prolong themselves", async () => {
    const credentials = await ask(prefixPolicy(Bucket, PREFIX));
    expect(credentials.expiresAt.getTime()).toBe(clockMs + 900_000);
    const at = clockMs;
    clockMs = at + 600_000;
    // Our client signs with this machine's clock, so only the server's moved: still within the skew.
    const nested = await ask(undefined, { credentials });
    expect(nested.expiresAt).toEqual(credentials.expiresAt);
    clockMs = at + 900_000 - 1000;
    await kit.client(credentials).put({ bucket: Bucket, key: `${PREFIX}in-time`, body: "" });
    const headers = (atMs: number) =>
      signedHeaders({
        method: "GET",
        path: "/test/x",
        headers: { "x-amz-security-token": credentials.sessionToken },
        credentials,
        atMs,
      });
    clockMs = at + 900_000;
    expect(await raw({ method: "GET", path: "/test/x", headers: headers(clockMs) })).toMatchObject({
      status: 400,
      code: "ExpiredToken",
    });
    clockMs = at;
  });

  it("are refused when the token was changed, is missing, or belongs to another key", async () => {
    const credentials = await ask();
    const { sessionToken: token } = credentials;
    const middle = Math.floor(token.length / 2);
    const changed = token.slice(0, middle) + (token[middle] === "A" ? "B" : "A") + token.slice(middle + 1);
    const call = (given: Credentials) => kit.client(given).put({ bucket: Bucket, key: "token", body: "" });
    await expect(call({ ...credentials, sessionToken: changed })).rejects.toMatchObject({ code: "InvalidToken" });
    await expect(call({ ...credentials, sessionToken: "AAAA" })).rejects.toMatchObject({ code: "InvalidToken" });
    await expect(call({ ...credentials, sessionToken: undefined })).rejects.toMatchObject({
      code: "InvalidAccessKeyId",
    });
    await expect(call({ ...ROOT, sessionToken: token })).rejects.toMatchObject({ code: "InvalidToken" });
    await expect(call({ ...credentials, secretAccessKey: "guessed-secret-key" })).rejects.toMatchObject({
      code: "SignatureDoesNotMatch",
    });
  });

  it("survive a restart, and end with the root key", async () => {
    await using first = await testServer();
    const credentials = await assumeRole({
      endpoint: first.url,
      region: REGION,
      credentials: ROOT,
      durationSeconds: 900,
      sessionName: "stays",
    });
    await first.server[Symbol.asyncDispose]();
    await using second = await testServer({ dataDir: first.dataDir });
    await second.client(credentials).put({ bucket: Bucket, key: "still", body: "" });
    await second.server[Symbol.asyncDispose]();
    await using third = await testServer({ dataDir: first.dataDir, secretAccessKey: "a-new-secret-of-the-root" });
    await expect(third.client(credentials).put({ bucket: Bucket, key: "no", body: "" })).rejects.toMatchObject({
      code: "InvalidToken",
    });
  });

  it.each([
    ["not JSON at all", undefined],
    ["an unknown operator", { Condition: { NumericLessThan: { "s3:max-keys": "10" } } }],
    ["an unknown condition key", { Condition: { StringLike: { "aws:SourceIp": "*" } } }],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a policy variable is spelt so
    ["a policy variable", { Resource: "arn:aws:s3:::test/${aws:username}/*" }],
    ["an unknown field", { Principal: "*" }],
    ["no action", { Action: undefined }],
    ["a foreign resource", { Resource: "arn:aws:sqs:::queue" }],
  ])("are not given for %s", async (_, change) => {
    const statement = { Effect: "Allow", Action: "s3:*", Resource: "*", ...change };
    const policy = change === undefined ? ["x"] : { Version: "2012-10-17", Statement: [statement] };
    const error = await ask(policy).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(S3Error);
    expect(error).toMatchObject({ code: "MalformedPolicyDocument", status: 400 });
  });

  it("are not given for less than 900 seconds, to strangers, or for a policy that is too long", async () => {
    await expect(ask(undefined, { durationSeconds: 899 })).rejects.toMatchObject({ code: "ValidationError" });
    const stranger = { ...ROOT, secretAccessKey: "not-the-secret-at-all" };
    await expect(ask(undefined, { credentials: stranger })).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
    const long = {
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Action: "s3:*", Resource: `arn:aws:s3:::${"x".repeat(2048)}` }],
    };
    await expect(ask(long)).rejects.toMatchObject({ code: "PackedPolicyTooLarge" });
  });
});

it("signs as in Amazon's published example", () => {
  const credentials = {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  };
  const signature = sign({
    method: "GET",
    path: "/test.txt",
    query: [],
    headers: [
      ["host", "examplebucket.s3.amazonaws.com"],
      ["range", "bytes=0-9"],
      ["x-amz-content-sha256", EMPTY_SHA256],
      ["x-amz-date", "20130524T000000Z"],
    ],
    payloadHash: EMPTY_SHA256,
    credentials,
    scope: { date: "20130524", region: "us-east-1", service: "s3" },
    date: "20130524T000000Z",
  });
  expect(signature).toBe("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
});
