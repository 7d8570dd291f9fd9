import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assumeRole, type Credentials, createS3Client, endSession, prefixPolicy } from "../src/index.ts";
import { EndedSessions } from "../src/server/ended-sessions.ts";
import { Fault, toFault } from "../src/server/faults.ts";
import { readRequest } from "../src/server/request.ts";
import { route } from "../src/server/router.ts";
import { ObjectStore } from "../src/server/store/store.ts";
import { DirectorySync } from "../src/server/store/sync.ts";
import { UploadStore } from "../src/server/store/uploads.ts";
import { REGION, ROOT, serverProcess, type TestServer, tempDir, testServer } from "./_server.ts";

const bucket = "test";
const prefix = "docs/acc_x/1700000000/";
let kit: TestServer;
beforeAll(async () => {
  kit = await testServer();
});
afterAll(() => kit[Symbol.asyncDispose]());

const sts = (endpoint = kit.url, credentials: Credentials = ROOT) => ({ endpoint, region: REGION, credentials });
const session = (credentials: Credentials = ROOT, endpoint = kit.url) =>
  assumeRole({
    ...sts(endpoint, credentials),
    policy: prefixPolicy(bucket, prefix),
    durationSeconds: 900,
    sessionName: "save",
  });

describe("a session that was ended", () => {
  it("writes nothing any more, in any way; what it wrote stays, and can be read by it until its time is over", async () => {
    const own = await session();
    const client = kit.client(own);
    const key = `${prefix}saved.txt`;
    await client.put({ bucket, key, body: "as it was saved" });
    const presigned = client.presign({ method: "PUT", bucket, key, expiresSeconds: 600 });
    const aws = kit.aws(own);
    const parts = { Bucket: bucket, Key: `${prefix}parts` };
    const { UploadId } = await aws.send(new CreateMultipartUploadCommand(parts));
    const { ETag } = await aws.send(new UploadPartCommand({ ...parts, UploadId, PartNumber: 1, Body: "part" }));
    expect(await endSession({ ...sts(), sessionToken: own.sessionToken })).toBe(true);
    const ended = { code: "AccessDenied" };
    await expect(client.put({ bucket, key, body: "rewritten" })).rejects.toMatchObject(ended);
    await expect(client.put({ bucket, key: `${prefix}new`, body: "added" })).rejects.toMatchObject(ended);
    expect((await client.getBytes({ bucket, key })).toString()).toBe("as it was saved");
    await expect(client.getBytes({ bucket, key: "docs/acc_y/1/x" })).rejects.toMatchObject(ended);
    expect((await fetch(presigned, { method: "PUT", body: "rewritten" })).status).toBe(403);
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
    const complete = new CompleteMultipartUploadCommand({ ...parts, UploadId, MultipartUpload });
    await expect(aws.send(complete)).rejects.toMatchObject({ name: "AccessDenied" });
    const copy = new CopyObjectCommand({ Bucket: bucket, Key: `${prefix}copy`, CopySource: `${bucket}/${key}` });
    await expect(aws.send(copy)).rejects.toMatchObject({ name: "AccessDenied" });
    expect((await kit.client().getBytes({ bucket, key })).toString()).toBe("as it was saved");
    // Another one is not touched, and ending twice is no error.
    await kit.client(await session()).put({ bucket, key: `${prefix}other`, body: "x" });
    expect(await endSession({ ...sts(), sessionToken: own.sessionToken })).toBe(true);
  });

  it("takes those that were made from it along", async () => {
    const own = await session();
    const made = await session(own);
    const grandchild = await session(made);
    const client = kit.client(grandchild);
    await client.put({ bucket, key: `${prefix}nested`, body: "x" });
    await endSession({ ...sts(), sessionToken: own.sessionToken });
    for (const credentials of [made, grandchild]) {
      const put = kit.client(credentials).put({ bucket, key: `${prefix}nested`, body: "y" });
      await expect(put).rejects.toMatchObject({ code: "AccessDenied" });
      await expect(session(credentials)).rejects.toMatchObject({ code: "AccessDenied" });
    }
  });

  it("does not finish an upload whose body was on its way", async () => {
    const own = await session();
    const client = kit.client(own);
    const key = `${prefix}slow`;
    const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const body = {
      lengthBytes: 2_000_000,
      async *open() {
        yield randomBytes(1_000_000);
        begun.resolve();
        await go.promise;
        yield randomBytes(1_000_000);
      },
    };
    const put = client.put({ bucket, key, body });
    put.catch(() => undefined);
    await begun.promise;
    await endSession({ ...sts(), sessionToken: own.sessionToken });
    go.resolve();
    await expect(put).rejects.toMatchObject({ code: "AccessDenied" });
    expect(await kit.client().head({ bucket, key })).toBeUndefined();
  });

  it("is ended by the key that gave it only", async () => {
    const [own, other] = [await session(), await session()];
    expect(await endSession({ ...sts(kit.url, other), sessionToken: own.sessionToken })).toBe(false);
    expect(await endSession({ ...sts(), sessionToken: "no token" })).toBe(false);
    await kit.client(own).put({ bucket, key: `${prefix}lives`, body: "x" });
  });

  it("stays ended after kill -9", async () => {
    await using directory = await tempDir();
    const dataDir = join(directory.path, "data");
    await using first = await serverProcess({ dataDir });
    const own = await session(ROOT, first.url);
    expect(await endSession({ ...sts(first.url), sessionToken: own.sessionToken })).toBe(true);
    await first.kill();
    await using second = await serverProcess({ dataDir });
    using client = createS3Client({ endpoint: second.url, region: REGION, credentials: own, forcePathStyle: true });
    await expect(client.put({ bucket, key: `${prefix}x`, body: "x" })).rejects.toMatchObject({ code: "AccessDenied" });
  });
});

describe("a write of a session that ends between its being allowed and its taking effect", () => {
  const ENDED = new Fault("AccessDenied", { message: "these credentials were ended just now" });

  /** The operations on a real store, by a caller whose credentials end just before a write takes effect. */
  async function lateServer() {
    const stack = new AsyncDisposableStack();
    const directory = stack.use(await tempDir());
    const store = stack.use(await ObjectStore.open({ dataDir: directory.path, durable: false }));
    await store.createBucket(bucket);
    const uploads = new UploadStore(store);
    const ends = (): never => {
      throw ENDED;
    };
    const caller = {
      arn: "arn:aws:sts::000000000000:assumed-role/holdfast/late",
      policies: [],
      policyTexts: [],
      expiresMs: Number.POSITIVE_INFINITY,
      sessionIds: ["late"],
      checkWrites: () => undefined,
      enter: ends,
    };
    const auth = { caller, payload: { kind: "unsigned" as const }, presigned: false };
    const server = createServer((raw, response) => {
      const request = readRequest(raw, []);
      const common = { region: REGION, now: Date.now, logger: undefined };
      route(request)({ request, response, auth, store, uploads, ...common }).catch((error: unknown) => {
        response.writeHead(toFault(error).status).end(toFault(error).code);
      });
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    stack.defer(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    const { port } = server.address() as AddressInfo;
    return {
      store,
      uploads,
      url: `http://127.0.0.1:${port}`,
      [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
    };
  }

  async function put(store: ObjectStore, key: string): Promise<void> {
    await using sink = await store.createSink(0);
    await sink.write(Buffer.from(key));
    const info = { sizeBytes: key.length, etag: "e".repeat(32), modifiedMs: 1, headers: {}, metadata: {} };
    await store.commit({ bucket, key }, { sink, info });
  }

  async function stateOf({ store, uploads }: { store: ObjectStore; uploads: UploadStore }) {
    const keys: string[] = [];
    const walk = store.walk(bucket, { prefix: "", after: "" });
    for (let found = await walk.next(); found; found = await walk.next()) keys.push(found.key);
    const open = await uploads.list(bucket);
    const parts = await Promise.all(open.map((upload) => uploads.parts(upload)));
    return { keys, buckets: store.buckets().map(({ name }) => name), open, parts };
  }

  it("never happens, whichever it is", async () => {
    await using late = await lateServer();
    await put(late.store, "there");
    await late.store.createBucket("empty");
    const upload = await late.uploads.create({ bucket, key: "parts", startedMs: 1, headers: {}, metadata: {} });
    {
      await using sink = await late.store.createSink(0);
      await sink.write(Buffer.from("part"));
      const info = { sizeBytes: 4, etag: "d".repeat(32), modifiedMs: 1, headers: {}, metadata: {} };
      await late.uploads.putPart(upload, { partNumber: 1, sink, info });
    }
    const before = await stateOf(late);
    const complete = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${"d".repeat(32)}</ETag></Part></CompleteMultipartUpload>`;
    const copied = { headers: { "x-amz-copy-source": `/${bucket}/there` } };
    const writes: [method: string, path: string, rest: RequestInit][] = [
      ["PUT", `/${bucket}/new`, { body: "x" }],
      ["PUT", `/${bucket}/there`, { body: "x" }],
      ["PUT", `/${bucket}/copy`, copied],
      ["DELETE", `/${bucket}/there`, {}],
      ["DELETE", `/${bucket}/not-there`, {}],
      ["POST", `/${bucket}/new?uploads`, {}],
      ["PUT", `/${bucket}/parts?partNumber=2&uploadId=${upload.id}`, { body: "x" }],
      ["PUT", `/${bucket}/parts?partNumber=2&uploadId=${upload.id}`, copied],
      ["POST", `/${bucket}/parts?uploadId=${upload.id}`, { body: complete }],
      ["DELETE", `/${bucket}/parts?uploadId=${upload.id}`, {}],
      ["PUT", "/made-late", {}],
      ["DELETE", "/empty", {}],
    ];
    for (const [method, path, rest] of writes) {
      const answer = await fetch(late.url + path, { method, ...rest });
      expect([method, path, answer.status, await answer.text()]).toEqual([method, path, 403, "AccessDenied"]);
    }
    const list = "<Delete><Object><Key>there</Key></Object></Delete>";
    const bulk = await fetch(`${late.url}/${bucket}?delete`, { method: "POST", body: list });
    expect(await bulk.text()).toContain("<Code>AccessDenied</Code>");
    expect(await stateOf(late)).toEqual(before);
  });
});

describe("the list of ended sessions", () => {
  it("waits for a write that is being put in its place, and refuses the next", async () => {
    await using directory = await tempDir();
    const options = { dataDir: directory.path, directories: new DirectorySync(false), now: () => 1000 };
    const ended = await EndedSessions.load(options);
    const writing = ended.enter(["parent", "a"]);
    let over = false;
    const end = ended.end("parent", 2000).then(() => {
      over = true;
    });
    expect(() => ended.enter(["parent", "a"])).toThrow(/were ended/);
    await new Promise((resolve) => setImmediate(resolve));
    expect(over).toBe(false);
    writing[Symbol.dispose]();
    await end;
    expect(() => ended.check(["a"])).not.toThrow();
  });

  it("does not grow with the sessions ever ended: those that are over anyway are dropped", async () => {
    await using directory = await tempDir();
    let now = 0;
    const options = { dataDir: directory.path, directories: new DirectorySync(false), now: () => now };
    const ended = await EndedSessions.load(options);
    await Promise.all(Array.from({ length: 50 }, (_, i) => ended.end(`s${i}`, 100 + i)));
    const all = await EndedSessions.load(options);
    for (let i = 0; i < 50; i++) expect(() => all.check([`s${i}`])).toThrow();
    now = 140;
    await all.end("last", 500);
    const left = await EndedSessions.load(options);
    expect(Array.from({ length: 50 }, (_, i) => `s${i}`).filter((id) => refused(left, id))).toHaveLength(10);
    expect(refused(left, "last")).toBe(true);
  });
});

function refused(ended: EndedSessions, id: string): boolean {
  try {
    ended.check([id]);
    return false;
  } catch {
    return true;
  }
}
