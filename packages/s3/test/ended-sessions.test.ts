import { randomBytes } from "node:crypto";
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
import { DirectorySync } from "../src/server/store/sync.ts";
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
