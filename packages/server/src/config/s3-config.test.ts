import { describe, expect, test } from "vitest";
import { parseOptions } from "./options.ts";
import { readS3Config } from "./s3-config.ts";

const whole = { endpoint: "http://127.0.0.1:9", accessKeyId: "a", secretAccessKey: "s" };

describe("S3 is not configured", () => {
  test.each([
    ["no s3", undefined],
    ["null", null],
    ["no buckets", { ...whole }],
    ["null buckets", { ...whole, buckets: null }],
    ["no agent-docs", { ...whole, buckets: {} }],
    ["an empty string", { ...whole, buckets: { "agent-docs": "" } }],
    ["a null bucket", { ...whole, buckets: { "agent-docs": null } }],
    ["no keys", { buckets: { "agent-docs": "b" } }],
  ])("%s", (_what, s3) => {
    const options = parseOptions({ dataDir: "/tmp/x", s3 });
    expect(readS3Config(options.s3)).toEqual({ missing: expect.stringMatching(/^S3 not configured/) });
  });
});

test("what is left out has its default", () => {
  const aws = readS3Config({
    buckets: { "agent-docs": "b" },
    accessKeyId: "a",
    secretAccessKey: "s",
    region: "eu-west-1",
  });
  expect(aws).toMatchObject({
    bucket: "b",
    endpoint: "https://s3.eu-west-1.amazonaws.com",
    stsEndpoint: "https://sts.eu-west-1.amazonaws.com",
    sandboxEndpoint: undefined,
    allowStaticCredentials: false,
  });
  const own = readS3Config({ ...whole, buckets: { "agent-docs": "b" }, sandboxEndpoint: "http://s3.inside:4603" });
  expect(own).toMatchObject({ sandboxDomain: "s3.inside", stsEndpoint: undefined, region: "us-east-1" });
});
