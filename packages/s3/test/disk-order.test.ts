import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { expect, it } from "vitest";
import { createS3Client } from "../src/index.ts";
import { keyToComponents, toBinary } from "../src/server/store/paths.ts";
import { watchedDisk, whatIsMissing } from "./_disk-order.ts";
import { awsClient, REGION, ROOT, serverProcess, tempDir } from "./_server.ts";
import type { DiskEvent } from "./_watched-disk.ts";

const bucket = "test";

it("an acknowledged object was written to its end, synced, named, and its name synced: parts joined and copies, too", async () => {
  await using directory = await tempDir();
  const dataDir = join(directory.path, "data");
  const log = join(directory.path, "disk.log");
  await using server = await serverProcess(
    { dataDir },
    watchedDisk({ HOLDFAST_TEST_DISK_LOG: log, HOLDFAST_TEST_WRITE_MS: "5" }),
  );
  using client = createS3Client({ endpoint: server.url, region: REGION, credentials: ROOT, attempts: 1 });
  const aws = awsClient(server.url, ROOT);
  /** What the disk had been told when the answer came. */
  const acknowledged = async (key: string) => {
    const lines = (await readFile(log, "utf8")).trimEnd().split("\n");
    const path = [join(dataDir, "buckets/test"), ...keyToComponents(toBinary(key))].join("/");
    expect(
      whatIsMissing(
        lines.map((line) => JSON.parse(line) as DiskEvent),
        path,
        dataDir,
      ),
      key,
    ).toEqual([]);
  };
  for (const by of [-3072, -300, -200, -150, -100, -50, -1, 0, 1, 3072]) {
    const key = `sizes/${by}`;
    await client.put({ bucket, key, body: Buffer.alloc(512 * 1024 + by, "s") });
    await acknowledged(key);
  }
  for (const key of ["small", "deep/er/and/deeper", "deep/er/beside", "x".repeat(200)]) {
    await client.put({ bucket, key, body: key });
    await acknowledged(key);
  }
  const copy = { Bucket: bucket, CopySource: `${bucket}/sizes/-200` };
  await aws.send(new CopyObjectCommand({ ...copy, Key: "copies/same" }));
  await acknowledged("copies/same");
  await aws.send(new CopyObjectCommand({ ...copy, Key: "copies/other", MetadataDirective: "REPLACE", Metadata: {} }));
  await acknowledged("copies/other");
  const sent = { Bucket: bucket, Key: "joined/one" };
  const { UploadId } = await aws.send(new CreateMultipartUploadCommand(sent));
  const Body = Buffer.alloc(512 * 1024 - 100, "p");
  const { ETag } = await aws.send(new UploadPartCommand({ ...sent, UploadId, PartNumber: 1, Body }));
  const Parts = [{ PartNumber: 1, ETag }];
  await aws.send(new CompleteMultipartUploadCommand({ ...sent, UploadId, MultipartUpload: { Parts } }));
  await acknowledged("joined/one");
  aws.destroy();
});
