import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createS3Client } from "@holdfast/s3";
import { createTestKit, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

let kit: TestKit;
let s3: { endpoint: string; region: string; accessKeyId: string; secretAccessKey: string };
beforeAll(async () => {
  kit = await createTestKit({
    adjust: (name, options) => {
      if (name === "server") s3 = options.s3 as typeof s3;
      return options;
    },
  });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

test("a finished copy tells the ETag of each object, and what saved it can write nothing any more", async () => {
  await kit.turn("Create a file kept.txt that says kept");
  const { accessKeyId, secretAccessKey, endpoint, region } = s3;
  using client = createS3Client({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  const bucket = "agent-docs";
  const keys = async () => {
    const found: { key: string; sizeBytes: number; etag: string }[] = [];
    for await (const { objects } of client.list({ bucket, prefix: `docs/${kit.account.id}/` })) found.push(...objects);
    return found;
  };
  const manifestKey = async () => (await keys()).find(({ key }) => key.endsWith("/.manifest"))?.key;
  await expect.poll(manifestKey, { timeout: 60_000 }).toBeDefined();
  const key = (await manifestKey()) ?? "";
  const prefix = key.slice(0, -".manifest".length);
  const manifest = JSON.parse((await client.getBytes({ bucket, key })).toString());
  const listing = await client.getBytes({ bucket, key: `${prefix}.manifest.objects` });
  expect(manifest).toMatchObject({
    sealed: true,
    objects: { key: ".manifest.objects", sha256: createHash("sha256").update(listing).digest("hex") },
  });
  const lines = listing.toString().trim().split("\n");
  const told = lines.map((line) => JSON.parse(line) as { key: string; size: number; etag: string });
  const there = (await keys()).filter(({ key: one }) => one.startsWith(prefix) && !one.includes("/.manifest"));
  expect(told).toEqual(
    there.map(({ key: one, sizeBytes, etag }) => ({ key: one.slice(prefix.length), size: sizeBytes, etag })),
  );
  expect(told.map((one) => one.key)).toContain("kept.txt");
  expect(manifest.files).toBe(told.length);
  // One save, one session: it is among those that were ended.
  const ended = JSON.parse(readFileSync(join(kit.dataDir, "s3/ended-sessions.json"), "utf8")) as unknown[];
  expect(ended.length).toBeGreaterThan(0);
});
