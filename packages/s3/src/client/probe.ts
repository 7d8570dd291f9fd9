import { randomBytes } from "node:crypto";
import type { Credentials } from "../wire/sigv4.ts";
import { createS3Client } from "./client.ts";
import { S3Error } from "./error.ts";
import { assumeRole, prefixPolicy, type TemporaryCredentials } from "./sts.ts";
import type { CallOptions } from "./transport.ts";

export interface ProbeOptions extends CallOptions {
  readonly endpoint: string;
  /** Where it is not the S3 endpoint. */
  readonly stsEndpoint?: string | undefined;
  readonly region: string;
  readonly credentials: Credentials;
  readonly bucket: string;
  readonly roleArn?: string | undefined;
  /** The test objects go below this. Default `holdfast-probe/`. */
  readonly prefix?: string | undefined;
}

/**
 * - `enforced`: temporary credentials can be cut down to a prefix, and they are
 * - `not_enforced`: STS answers, but a write outside the prefix went through: never hand these to a sandbox
 * - `absent`: no usable STS
 */
export interface ProbeResult {
  readonly sts: "enforced" | "not_enforced" | "absent";
  /** One sentence for the operator. */
  readonly why: string;
}

/**
 * Finds out whether an endpoint limits temporary credentials to a prefix, by trying to break out of one.
 * @throws S3Error where the endpoint or the bucket cannot be used at all
 */
export async function probe(options: ProbeOptions): Promise<ProbeResult> {
  const { bucket, signal, timeoutMs = 20_000 } = options;
  const base = `${options.prefix ?? "holdfast-probe/"}${randomBytes(8).toString("hex")}/`;
  const call = { signal, timeoutMs };
  using root = createS3Client(options);
  const control = `${base}control`;
  // First that root itself can write: otherwise a 403 below would prove nothing.
  await root.put({ ...call, bucket, key: control, body: "probe" });
  const keys = [control, `${base}inside/x`, `${base}outside/x`];
  try {
    const credentials = await temporary(options, `${base}inside/`);
    if ("why" in credentials) return credentials;
    return await tryToBreakOut({ ...options, credentials, timeoutMs }, base);
  } finally {
    for (const key of keys) await root.delete({ bucket, key, timeoutMs });
  }
}

async function temporary(options: ProbeOptions, prefix: string): Promise<TemporaryCredentials | ProbeResult> {
  const { stsEndpoint, bucket, ...rest } = options;
  try {
    return await assumeRole({
      ...rest,
      endpoint: stsEndpoint ?? options.endpoint,
      policy: prefixPolicy(bucket, prefix),
      durationSeconds: 900,
      sessionName: "holdfast-probe",
    });
  } catch (error) {
    if (!(error instanceof S3Error) || (error.status === 0 && !stsEndpoint)) throw error;
    return { sts: "absent", why: `this endpoint gives no temporary credentials (${error.message})` };
  }
}

async function outcome(work: Promise<unknown>): Promise<"done" | "denied"> {
  try {
    await work;
    return "done";
  } catch (error) {
    if (error instanceof S3Error && error.status === 403) return "denied";
    throw error;
  }
}

async function tryToBreakOut(options: ProbeOptions, base: string): Promise<ProbeResult> {
  const { bucket, signal, timeoutMs } = options;
  const call = { bucket, signal, timeoutMs };
  using limited = createS3Client(options);
  const inside = await outcome(limited.put({ ...call, key: `${base}inside/x`, body: "probe" }));
  if (inside === "denied") {
    return { sts: "absent", why: "temporary credentials are given, but cannot write where their policy allows it" };
  }
  const attempts: [what: string, work: () => Promise<unknown>][] = [
    ["a write outside the prefix", () => limited.put({ ...call, key: `${base}outside/x`, body: "probe" })],
    ["a read outside the prefix", () => limited.getBytes({ ...call, key: `${base}control` })],
    ["a delete inside the prefix", () => limited.delete({ ...call, key: `${base}inside/x` })],
    ["a listing outside the prefix", () => firstPage(limited.list({ ...call, prefix: base }))],
  ];
  for (const [what, work] of attempts) {
    if ((await outcome(work())) === "done") {
      return { sts: "not_enforced", why: `STS answers, but ${what} was let through in spite of the session policy` };
    }
  }
  return { sts: "enforced", why: "temporary credentials are limited to their prefix" };
}

async function firstPage(pages: AsyncIterable<unknown>): Promise<void> {
  for await (const _page of pages) return;
}
