import { createS3Client } from "@holdfast/s3";
import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { describe, expect, test } from "vitest";
import { execStarts, secretsOf } from "./_seed.ts";

describe("S3 is not configured", () => {
  test.each([
    ["no s3", () => undefined],
    ["no buckets", (s3: object) => ({ ...s3, buckets: undefined })],
    ["no agent-docs", (s3: object) => ({ ...s3, buckets: {} })],
    ["an empty string", (s3: object) => ({ ...s3, buckets: { "agent-docs": "" } })],
    ["null", (s3: object) => ({ ...s3, buckets: { "agent-docs": null } })],
  ])("%s: the turn works, nothing is thrown, and it is said", async (_what, change) => {
    await using kit = await createTestKit({
      record: true,
      adjust: (name, options) => (name === "server" ? { ...options, s3: change(options.s3 as object) } : options),
    });
    const { sessionId, events } = await kit.turn("Create a file here.txt that says still here");
    expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
    expect(eventsOf(events, "session.error")).toEqual([]);
    expect((await kit.status()).storage).toMatchObject({
      state: "off",
      reason: expect.stringContaining("S3 not configured"),
    });
    await expect
      .poll(async () => eventsOf(await kit.log(sessionId), "holdfast.step").find((step) => step.step === "sync"), {
        timeout: 20_000,
      })
      .toMatchObject({ state: "skipped", detail: expect.stringContaining("S3 not configured") });
    expect(execStarts(kit.recorder.events, "sync")).toEqual([]);
  });
});

async function keysOf(kit: TestKit): Promise<string[]> {
  const secrets = secretsOf(kit);
  const client = createS3Client({
    endpoint: `http://127.0.0.1:${kit.system.services.s3.ready?.port}`,
    region: "us-east-1",
    credentials: { accessKeyId: secrets.s3AccessKeyId, secretAccessKey: secrets.s3SecretAccessKey },
  });
  const keys: string[] = [];
  for await (const page of client.list({ bucket: "agent-docs", prefix: "" }))
    keys.push(...page.objects.map((each) => each.key));
  return keys;
}

test("S3 is configured: every sandbox knows bucket and prefix, and every key lies where it should", async () => {
  await using kit = await createTestKit({ record: true });
  const { sessionId } = await kit.turn("Create a file kept.txt that says kept");
  const told = await kit.exec(["printenv", "HOLDFAST_S3"]);
  expect(JSON.parse(told.stdout)).toEqual({ bucket: "agent-docs", keyPrefix: `docs/${kit.account.id}/` });
  const synced = () => keysOf(kit).then((keys) => keys.filter((key) => key.endsWith("/.manifest")).length);
  await expect.poll(synced, { timeout: 30_000 }).toBe(1);
  // Two more at once, so that they are likely to fall into one second; each has a prefix of its own all the same.
  await Promise.all([
    kit.turn("Create a file one.txt that says one", { sessionId }),
    kit.turn("Create a file two.txt that says two"),
  ]);
  await expect.poll(synced, { timeout: 30_000 }).toBeGreaterThanOrEqual(2);
  const keys = await keysOf(kit);
  expect(keys.length).toBeGreaterThan(3);
  for (const key of keys) expect(key).toMatch(/^docs\/acc_[^/]+\/\d{10}\//);
  const targets = execStarts(kit.recorder.events, "sync").map((start) =>
    start.args.find((arg) => arg.startsWith("s3://")),
  );
  expect(new Set(targets).size).toBe(targets.length);
});
