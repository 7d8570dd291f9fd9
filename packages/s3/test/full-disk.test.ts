import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, statfs, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import {
  type S3Client as AwsClient,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { createS3Client, type S3Client, S3Error } from "../src/index.ts";
import { awsClient, REGION, ROOT, type ServerProcess, serverProcess, tempDir } from "./_server.ts";

const bucket = "test";
const PAGE = 4096;
const BORDER = 512 * 1024;

/** Around the size at which the server writes; close by, the footer alone passes it. */
const SIZES = [-3072, -2048, -1024, -300, -240, -180, -120, -60, -1, 0, 1, 1024, 2048, 3072].map((by) => BORDER + by);

interface SmallDisk extends AsyncDisposable {
  readonly server: ServerProcess;
  readonly client: S3Client;
  readonly aws: AwsClient;
  /** Leaves room for so many pages more. */
  leave(pages: number): Promise<void>;
  names(directory: string): Promise<string[]>;
}

/** The real process on a tmpfs that only it sees and that goes away with it. */
async function smallDisk(megabytes: number, keepFreeBytes = 0): Promise<SmallDisk> {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await tempDir());
  const dataDir = join(directory.path, "data");
  await mkdir(dataDir);
  const script = `mount -t tmpfs -o size=${megabytes}m tmpfs "$1" && shift && exec "$@"`;
  const wrap = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", dataDir];
  const server = stack.use(await serverProcess({ dataDir, logLevel: "silent", keepFreeBytes }, wrap));
  const inside = `/proc/${server.child.pid}/root${dataDir}`;
  const ballast = join(inside, "ballast");
  const client = stack.use(
    createS3Client({ endpoint: server.url, region: REGION, credentials: ROOT, attempts: 1, forcePathStyle: true }),
  );
  return {
    server,
    client,
    aws: stack.adopt(awsClient(server.url, ROOT), (c) => c.destroy()),
    async leave(pages) {
      await rm(ballast, { force: true });
      const { bfree } = await statfs(inside);
      if (bfree > pages) await writeFile(ballast, Buffer.alloc((bfree - pages) * PAGE));
    },
    names: (name) => readdir(join(inside, name)),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

const full = { status: 507, code: "InsufficientStorage" };

async function outcome(work: Promise<unknown>): Promise<"acknowledged" | "refused"> {
  try {
    await work;
    return "acknowledged";
  } catch (error) {
    expect(error).toBeInstanceOf(S3Error);
    expect(error).toMatchObject(full);
    return "refused";
  }
}

describe.skipIf(process.getuid?.() !== 0)("on a full disk", () => {
  it("refuses in words, keeps the earlier object, lives, and takes objects again when there is room", async () => {
    await using disk = await smallDisk(4);
    const { client } = disk;
    const earlier = randomBytes(700_000);
    await client.put({ bucket, key: "kept", body: earlier });
    const seen = { acknowledged: 0, refused: 0 };
    // Room for the data, and one page less or more: the footer behind the data is what finds none.
    for (const size of SIZES) {
      for (const spare of [-1, 0, 1]) {
        await disk.leave(Math.ceil(size / PAGE) + spare);
        const body = randomBytes(size);
        const result = await outcome(client.put({ bucket, key: "kept", body }));
        seen[result] += 1;
        const now = await client.getBytes({ bucket, key: "kept" });
        expect(now.equals(result === "acknowledged" ? body : earlier), `${size} bytes, ${spare}: ${result}`).toBe(true);
        if (result === "refused") continue;
        await disk.leave(400);
        await client.put({ bucket, key: "kept", body: earlier });
      }
    }
    expect(seen.acknowledged).toBeGreaterThan(0);
    expect(seen.refused).toBeGreaterThan(10);
    expect(await disk.names("tmp")).toEqual([]);
    expect(disk.server.child.exitCode).toBeNull();
    await disk.leave(300);
    await client.put({ bucket, key: "new/one", body: "there is room" });
    expect((await client.getBytes({ bucket, key: "new/one" })).toString()).toBe("there is room");
    expect(await disk.server.stop()).toBe(0);
  });

  it("refuses parts, their joining and copies, and joins the same parts when there is room", async () => {
    await using disk = await smallDisk(24);
    const { client, aws } = disk;
    const small = randomBytes(100_000);
    const sent = { Bucket: bucket, Key: "parts" };
    await client.put({ bucket, key: "parts", body: small });
    const { UploadId } = await aws.send(new CreateMultipartUploadCommand(sent));
    const bodies = [randomBytes(5 * 1024 * 1024), randomBytes(BORDER - 100)];
    const part = (i: number) =>
      aws.send(new UploadPartCommand({ ...sent, UploadId, PartNumber: i + 1, Body: bodies[i] ?? "" }));
    const first = await part(0);
    await disk.leave(128);
    await expect(part(1)).rejects.toMatchObject({ name: "InsufficientStorage" });
    await disk.leave(2500);
    const second = await part(1);
    const Parts = [first, second].map(({ ETag }, i) => ({ PartNumber: i + 1, ETag }));
    const complete = () =>
      aws.send(new CompleteMultipartUploadCommand({ ...sent, UploadId, MultipartUpload: { Parts } }));
    const whole = Buffer.concat(bodies);
    await disk.leave(Math.ceil(whole.length / PAGE) - 1);
    await expect(complete()).rejects.toMatchObject({ name: "InsufficientStorage" });
    expect((await client.getBytes({ bucket, key: "parts" })).equals(small)).toBe(true);
    await disk.leave(2500);
    await complete();
    expect((await client.getBytes({ bucket, key: "parts" })).equals(whole)).toBe(true);
    const copy = () =>
      aws.send(
        new CopyObjectCommand({
          Bucket: bucket,
          Key: "copy",
          CopySource: `${bucket}/parts`,
          MetadataDirective: "REPLACE",
          Metadata: { note: "of its own" },
        }),
      );
    await disk.leave(Math.floor(whole.length / PAGE));
    await expect(copy()).rejects.toMatchObject({ name: "InsufficientStorage" });
    expect(await client.head({ bucket, key: "copy" })).toBeUndefined();
    await disk.leave(2500);
    await copy();
    expect((await client.getBytes({ bucket, key: "copy" })).equals(whole)).toBe(true);
    expect(await disk.names("tmp")).toEqual([]);
    expect(await disk.server.stop()).toBe(0);
  });

  it("refuses new directories and uploads where there are no inodes, and leaves none behind", async () => {
    await using disk = await smallDisk(4);
    const { client, aws } = disk;
    await disk.leave(0);
    for (let i = 0; i < 5; i++)
      expect(await outcome(client.put({ bucket, key: `a/b/c/${i}`, body: "x".repeat(5000) }))).toBe("refused");
    const upload = new CreateMultipartUploadCommand({ Bucket: bucket, Key: "k" });
    await expect(aws.send(upload)).rejects.toMatchObject({ name: "InsufficientStorage" });
    await disk.leave(300);
    expect(await disk.names("buckets/test")).toEqual([]);
    expect(await disk.names("tmp")).toEqual([]);
    await aws.send(upload);
    await client.put({ bucket, key: "a/b/c/1", body: "x" });
  });

  it("keeps some of it for others: what would go below is refused before its body is sent, in words; less is taken", async () => {
    const kept = 2 * 1024 * 1024;
    await using disk = await smallDisk(24, kept);
    const { client, aws, server } = disk;
    const nearly = {
      ...full,
      message: expect.stringMatching(/nearly full: 4 MiB free, 2 MiB are kept, and this takes 3 MiB/),
    };
    await client.put({ bucket, key: "kept", body: "as it was" });
    await disk.leave((kept + 2.5 * 1024 * 1024) / PAGE);
    await expect(client.put({ bucket, key: "kept", body: randomBytes(3 * 1024 * 1024) })).rejects.toMatchObject(nearly);
    // A body that nobody asks for: the answer comes without a byte of it.
    const asked = new Promise<number | undefined>((resolve, reject) => {
      const url = client.presign({ method: "PUT", bucket, key: "kept", expiresSeconds: 60 });
      const headers = { "content-length": String(3 * 1024 * 1024), expect: "100-continue" };
      const sending = httpRequest(url, { method: "PUT", headers });
      sending.on("response", (answer) => resolve(answer.resume().statusCode)).on("error", reject);
      sending.on("continue", () => reject(new Error("the body was asked for")));
      sending.flushHeaders();
    });
    expect(await asked).toBe(507);
    const { UploadId } = await aws.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: "parts" }));
    const part = { Bucket: bucket, Key: "parts", UploadId, PartNumber: 1, Body: randomBytes(3 * 1024 * 1024) };
    await expect(aws.send(new UploadPartCommand(part))).rejects.toMatchObject({ name: "InsufficientStorage" });
    await client.put({ bucket, key: "small", body: randomBytes(1024 * 1024) });
    expect((await client.getBytes({ bucket, key: "kept" })).toString()).toBe("as it was");
    // Several at once do not get together what each of them would get alone.
    const bodies = Array.from({ length: 8 }, () => randomBytes(400_000));
    const results = await Promise.all(bodies.map((body, i) => outcome(client.put({ bucket, key: `many/${i}`, body }))));
    expect(results).toContain("acknowledged");
    expect(results).toContain("refused");
    await disk.leave(2500);
    await client.put({ bucket, key: "kept", body: randomBytes(3 * 1024 * 1024) });
    expect(await server.stop()).toBe(0);
  });
});
