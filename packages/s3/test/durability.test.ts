import { createHash, randomBytes, randomInt } from "node:crypto";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { createS3Client, S3Error } from "../src/index.ts";
import { watchedDisk } from "./_disk-order.ts";
import { awsClient, REGION, ROOT, type ServerProcess, serverProcess, tempDir, testServer } from "./_server.ts";

const bucket = "test";

function clientOf(url: string) {
  return createS3Client({ endpoint: url, region: REGION, credentials: ROOT, attempts: 1 });
}

function digest(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** Writes under concurrent overwrites until the server is killed. */
async function writeUntilKilled(url: string, kill: () => Promise<void>) {
  using client = clientOf(url);
  const versions = Array.from({ length: 6 }, (_, i) => Buffer.alloc(2 * 1024 * 1024, `version ${i} `));
  const allowed = new Set(versions.map(digest));
  const acknowledged = new Map<string, string>();
  const overwritten = new Set<string>();
  let writes = 0;
  const enough = Promise.withResolvers<void>();
  const note = (): void => {
    writes += 1;
    if (writes === 60) enough.resolve();
  };
  const overwriter = async (worker: number): Promise<void> => {
    for (let i = worker; ; i++) {
      const body = versions[i % versions.length] ?? Buffer.alloc(0);
      const key = `big/${i % 4}`;
      await client.put({ bucket, key, body });
      overwritten.add(key);
      note();
    }
  };
  const creator = async (worker: number): Promise<void> => {
    for (let i = 0; ; i++) {
      const body = randomBytes(1 + ((i * 37) % 5000));
      const key = `small/${worker}/${i}`;
      await client.put({ bucket, key, body });
      acknowledged.set(key, digest(body));
      note();
    }
  };
  const workers = [0, 1, 2, 3].flatMap((worker) => [overwriter(worker), creator(worker)]);
  const ended = Promise.allSettled(workers);
  await Promise.race([enough.promise, Promise.all(workers)]);
  await kill();
  for (const one of await ended) expect(one).toMatchObject({ status: "rejected", reason: expect.any(S3Error) });
  return { allowed, acknowledged, overwritten };
}

interface Acknowledged {
  readonly sizeBytes: number;
  /** The byte that the whole object is made of. */
  readonly letter: number;
}

/** Puts, copies and joins parts around the size at which the server writes, and kills it after so many answers. */
async function mixUntilKilled(server: ServerProcess, answers: number): Promise<Map<string, Acknowledged>> {
  using client = clientOf(server.url);
  const aws = awsClient(server.url, ROOT);
  const done = new Map<string, Acknowledged>();
  const enough = Promise.withResolvers<void>();
  const note = (key: string, what: Acknowledged): void => {
    done.set(key, what);
    const kinds = new Set([...done.keys()].map((name) => name.split("/")[0]));
    if (done.size >= answers && kinds.size === 4) enough.resolve();
  };
  const put = async (key: string): Promise<Acknowledged> => {
    // Mostly where what stands behind the data is what passes the border.
    const by = randomInt(4) === 0 ? 3072 - randomInt(6144) : -1 - randomInt(150);
    const what = { sizeBytes: 512 * 1024 + by, letter: 97 + randomInt(26) };
    await client.put({ bucket, key, body: Buffer.alloc(what.sizeBytes, what.letter) });
    return what;
  };
  const copy = (from: string, to: string, relabel: boolean) =>
    aws.send(
      new CopyObjectCommand({
        Bucket: bucket,
        Key: to,
        CopySource: `${bucket}/${from}`,
        ...(relabel ? { MetadataDirective: "REPLACE" as const, Metadata: { to } } : {}),
      }),
    );
  const putter = async (worker: number): Promise<void> => {
    for (let i = 0; ; i++) {
      const name = `${worker}/${i}`;
      const what = await put(`put/${name}`);
      note(`put/${name}`, what);
      await copy(`put/${name}`, `copied/${name}`, false);
      note(`copied/${name}`, what);
      await copy(`put/${name}`, `relabelled/${name}`, true);
      note(`relabelled/${name}`, what);
    }
  };
  const joiner = async (): Promise<void> => {
    for (let i = 0; ; i++) {
      const letter = 97 + randomInt(26);
      const bodies = [5 * 1024 * 1024, 512 * 1024 - randomInt(400)].map((size) => Buffer.alloc(size, letter));
      const sent = { Bucket: bucket, Key: `joined/${i}` };
      const { UploadId } = await aws.send(new CreateMultipartUploadCommand(sent));
      const Parts = [];
      for (const [at, Body] of bodies.entries()) {
        const { ETag } = await aws.send(new UploadPartCommand({ ...sent, UploadId, PartNumber: at + 1, Body }));
        Parts.push({ PartNumber: at + 1, ETag });
      }
      await aws.send(new CompleteMultipartUploadCommand({ ...sent, UploadId, MultipartUpload: { Parts } }));
      note(sent.Key, { sizeBytes: bodies.reduce((sum, body) => sum + body.length, 0), letter });
    }
  };
  const workers = [putter(0), putter(1), putter(2), joiner()];
  const ended = Promise.allSettled(workers);
  // None of them ends by itself: one that does has found something.
  await Promise.race([enough.promise, Promise.all(workers)]);
  await server.kill();
  for (const one of await ended) expect(one.status).toBe("rejected");
  aws.destroy();
  return done;
}

describe("what was acknowledged", () => {
  it("is whole after kill -9 under concurrent overwrites, and nothing unfinished is left", async () => {
    await using directory = await tempDir();
    const dataDir = join(directory.path, "data");
    await using first = await serverProcess({ dataDir });
    const { allowed, acknowledged, overwritten } = await writeUntilKilled(first.url, () => first.kill());
    await using second = await serverProcess({ dataDir });
    expect(await readdir(join(dataDir, "tmp"))).toEqual([]);
    using client = clientOf(second.url);
    for (const key of overwritten) {
      expect(allowed.has(digest(await client.getBytes({ bucket, key }))), `${key} is torn`).toBe(true);
    }
    for (const [key, sha256] of acknowledged) {
      expect(digest(await client.getBytes({ bucket, key })), `${key} is lost or torn`).toBe(sha256);
    }
    expect(await second.stop()).toBe(0);
  });

  it.each([1, 2, 3])("is whole after kill -9 at any point: objects, parts joined, copies (round %i)", async (round) => {
    await using directory = await tempDir();
    const dataDir = join(directory.path, "data");
    // A disk that takes its time: what is acknowledged too early is not there yet when the server dies.
    await using first = await serverProcess({ dataDir }, watchedDisk({ HOLDFAST_TEST_WRITE_MS: "30" }));
    const acknowledged = await mixUntilKilled(first, 20 + round * 15);
    await using second = await serverProcess({ dataDir });
    expect(await readdir(join(dataDir, "tmp"))).toEqual([]);
    using client = clientOf(second.url);
    const kinds = new Set<string>();
    for await (const { objects } of client.list({ bucket })) {
      // Acknowledged or not: what is there is whole.
      for (const { key, sizeBytes } of objects) {
        const bytes = await client.getBytes({ bucket, key });
        expect(bytes.length, key).toBe(sizeBytes);
        expect(bytes.equals(Buffer.alloc(sizeBytes, bytes[0])), `${key} is torn`).toBe(true);
      }
    }
    for (const [key, { sizeBytes, letter }] of acknowledged) {
      kinds.add(key.split("/")[0] ?? "");
      const bytes = await client.getBytes({ bucket, key });
      expect({ key, length: bytes.length, first: bytes[0] }).toEqual({ key, length: sizeBytes, first: letter });
    }
    expect([...kinds].sort()).toEqual(["copied", "joined", "put", "relabelled"]);
  });

  it("is there after a restart: objects, buckets, uploads under way", async () => {
    await using directory = await tempDir();
    const dataDir = join(directory.path, "data");
    const Key = "restarted";
    const part = randomBytes(5 * 1024 * 1024);
    await using first = await serverProcess({ dataDir });
    const before = awsClient(first.url, ROOT);
    const { UploadId } = await before.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    const send = { Bucket: bucket, Key, UploadId };
    const one = await before.send(new UploadPartCommand({ ...send, PartNumber: 1, Body: part }));
    before.destroy();
    expect(await first.stop()).toBe(0);
    await using second = await serverProcess({ dataDir, buckets: [] });
    const after = awsClient(second.url, ROOT);
    const two = await after.send(new UploadPartCommand({ ...send, PartNumber: 2, Body: "the end" }));
    const Parts = [one, two].map(({ ETag, ChecksumCRC32 }, i) => ({ PartNumber: i + 1, ETag, ChecksumCRC32 }));
    await after.send(new CompleteMultipartUploadCommand({ ...send, MultipartUpload: { Parts } }));
    after.destroy();
    using client = clientOf(second.url);
    const bytes = await client.getBytes({ bucket, key: Key });
    expect(bytes.equals(Buffer.concat([part, Buffer.from("the end")]))).toBe(true);
  });

  it("is kept when the next upload is cut off in the middle", async () => {
    await using kit = await testServer();
    const client = kit.client();
    await client.put({ bucket, key: "cut", body: "whole" });
    const stop = new AbortController();
    const body = {
      lengthBytes: 10_000_000,
      async *open() {
        yield Buffer.alloc(1_000_000);
        stop.abort();
        yield Buffer.alloc(1_000_000);
      },
    };
    await expect(client.put({ bucket, key: "cut", body, signal: stop.signal })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect((await client.getBytes({ bucket, key: "cut" })).toString()).toBe("whole");
    await expect.poll(() => readdir(join(kit.dataDir, "tmp"))).toEqual([]);
  });
});

describe("an object that an older version left torn", () => {
  it("is told apart: the others are listed and read, it can be replaced and deleted", async () => {
    const logged: string[] = [];
    const note = (_fields: object, message: string) => {
      logged.push(message);
    };
    await using kit = await testServer({ logger: { debug: () => undefined, info: () => undefined, error: note } });
    const client = kit.client();
    for (const key of ["a", "b", "c", "d"]) await client.put({ bucket, key, body: `whole ${key}` });
    const at = (key: string) => join(kit.dataDir, `buckets/test/=${key}`);
    await writeFile(at("b"), Buffer.alloc(512 * 1024, "x"));
    await writeFile(at("c"), "");
    const keys: string[] = [];
    for await (const { objects } of client.list({ bucket })) keys.push(...objects.map(({ key }) => key));
    expect(keys).toEqual(["a", "d"]);
    expect(logged).toContain("an object is left out of a listing");
    using once = clientOf(kit.url);
    await expect(once.getBytes({ bucket, key: "b" })).rejects.toMatchObject({ status: 500, code: "InternalError" });
    await client.put({ bucket, key: "b", body: "whole again" });
    expect((await client.getBytes({ bucket, key: "b" })).toString()).toBe("whole again");
    await client.delete({ bucket, key: "c" });
    expect(await client.head({ bucket, key: "c" })).toBeUndefined();
  });
});

describe("the data directory", () => {
  it("is for one server at a time", async () => {
    await using kit = await testServer();
    await expect(testServer({ dataDir: kit.dataDir })).rejects.toThrow(/in use by another S3 server/);
  });

  it("is closed to others", async () => {
    await using kit = await testServer();
    await kit.client().put({ bucket, key: "private", body: "x" });
    expect((await stat(kit.dataDir)).mode & 0o777).toBe(0o700);
    expect((await stat(join(kit.dataDir, "sealing.key"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(kit.dataDir, "buckets/test/=private"))).mode & 0o777).toBe(0o600);
  });

  it.skipIf(process.getuid?.() !== 0)("is handed to the user whose privileges the process takes", async () => {
    await using directory = await tempDir();
    const dataDir = join(directory.path, "data");
    await mkdir(dataDir);
    await writeFile(join(dataDir, "left-by-root"), "");
    await using server = await serverProcess({ dataDir, uid: 61003, gid: 61003 });
    const status = await readFile(`/proc/${server.child.pid}/status`, "utf8");
    expect(status).toMatch(/^Uid:\t61003\t61003\t61003\t61003$/m);
    expect(status).toMatch(/^Gid:\t61003\t61003\t61003\t61003$/m);
    expect(status).toMatch(/^Groups:\t61003 $/m);
    using client = clientOf(server.url);
    await client.put({ bucket, key: "x", body: "x" });
    expect((await stat(join(dataDir, "left-by-root"))).uid).toBe(61003);
    expect((await stat(join(dataDir, "buckets/test/=x"))).uid).toBe(61003);
  });

  it("is refused by a process with wrong options, with the reason", async () => {
    await using directory = await tempDir();
    const start = serverProcess({ dataDir: join(directory.path, "data"), port: "x", colour: "blue" });
    await expect(start).rejects.toThrow(/"ready":false.*colour.*port/s);
  });
});
