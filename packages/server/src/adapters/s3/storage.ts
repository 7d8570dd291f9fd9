import { assumeRole, createS3Client, endSession, prefixPolicy, probe, type S3Client, S3Error } from "@holdfast/s3";
import type { S3Config } from "../../config/s3-config.ts";
import type { ObjectStore, PrefixCredentials, Storage, StorageState, StoredObject } from "../../ports/object-store.ts";

/** What Claude keeps in its HOME for its own use of AWS says nothing of how a workspace is saved. */
const withoutFiles = { AWS_CONFIG_FILE: "/dev/null", AWS_SHARED_CREDENTIALS_FILE: "/dev/null" };

const callTimeoutMs = 20_000;

/** S3, once it was seen to keep temporary credentials within their prefix. */
export class S3Storage implements Storage {
  readonly #config: S3Config | { missing: string };
  #state: StorageState;
  /** The endpoint did not answer: worth another try. */
  #unreachable = true;

  constructor(config: S3Config | { missing: string }) {
    this.#config = config;
    this.#state = { on: false, reason: "missing" in config ? config.missing : "S3 was not reached yet" };
  }

  get state(): StorageState {
    return this.#state;
  }

  async open(signal: AbortSignal): Promise<StorageState> {
    const config = this.#config;
    if ("missing" in config || !this.#unreachable) return this.#state;
    try {
      this.#state = await judge(config, signal);
      this.#unreachable = false;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#state = { on: false, reason: `S3 cannot be used: ${why}` };
    }
    return this.#state;
  }
}

async function judge(config: S3Config, signal: AbortSignal): Promise<StorageState> {
  const { bucket, region, endpoint, stsEndpoint, roleArn, allowStaticCredentials } = config;
  const credentials = { accessKeyId: config.accessKeyId, secretAccessKey: config.secretAccessKey };
  const verdict = await probe({
    endpoint,
    stsEndpoint,
    region,
    credentials,
    bucket,
    roleArn,
    signal,
    timeoutMs: callTimeoutMs,
  });
  if (verdict.sts === "enforced") return { on: true, store: new S3Store(config, "temporary") };
  if (allowStaticCredentials) return { on: true, store: new S3Store(config, "static") };
  const reason = `${verdict.why}; set s3.allowStaticCredentials to hand every sync the storage's own key instead`;
  return { on: false, reason: `S3 is off: ${reason}` };
}

class S3Store implements ObjectStore {
  readonly bucket: string;
  readonly sandboxEndpoint: string | undefined;
  readonly #config: S3Config;
  readonly #kind: "temporary" | "static";
  readonly #client: S3Client;

  constructor(config: S3Config, kind: "temporary" | "static") {
    this.bucket = config.bucket;
    this.sandboxEndpoint = config.sandboxEndpoint;
    this.#config = config;
    this.#kind = kind;
    const { endpoint, region } = config;
    this.#client = createS3Client({ endpoint, region, credentials: this.#own() });
  }

  async credentialsFor(
    prefix: string,
    { lifetimeMs, signal }: { lifetimeMs: number; signal: AbortSignal },
  ): Promise<PrefixCredentials> {
    const { region, endpoint, stsEndpoint, roleArn } = this.#config;
    const common = { AWS_DEFAULT_REGION: region, AWS_EC2_METADATA_DISABLED: "true", ...withoutFiles };
    if (this.#kind === "static") return { env: { ...common, ...toEnv(this.#own()) }, end: async () => false };
    const credentials = await assumeRole({
      endpoint: stsEndpoint ?? endpoint,
      region,
      credentials: this.#own(),
      policy: prefixPolicy(this.bucket, prefix),
      durationSeconds: Math.max(900, Math.ceil(lifetimeMs / 1000)),
      roleArn,
      sessionName: "holdfast-sync",
      signal,
      timeoutMs: callTimeoutMs,
    });
    const { sessionToken } = credentials;
    const sts = { endpoint: stsEndpoint ?? endpoint, region, credentials: this.#own(), timeoutMs: callTimeoutMs };
    return {
      env: { ...common, ...toEnv(credentials) },
      end: (endSignal) => endSession({ ...sts, sessionToken, signal: endSignal }),
    };
  }

  async *objectsBelow(prefix: string, { signal }: { signal: AbortSignal }): AsyncGenerator<readonly StoredObject[]> {
    for await (const { objects } of this.#client.list({ bucket: this.bucket, prefix, signal })) yield objects;
  }

  async measure(
    prefix: string,
    { limit = Number.POSITIVE_INFINITY, signal }: { limit?: number; signal: AbortSignal },
  ): Promise<{ files: number; bytes: number }> {
    const total = { files: 0, bytes: 0 };
    const pages = this.#client.list({
      bucket: this.bucket,
      prefix,
      signal,
      ...(limit < 1000 ? { pageSize: limit } : {}),
    });
    for await (const { objects } of pages) {
      for (const { sizeBytes } of objects) {
        total.files++;
        total.bytes += sizeBytes;
        if (total.files >= limit) return total;
      }
    }
    return total;
  }

  async create(
    key: string,
    body: Uint8Array,
    { contentType, signal }: { contentType: string; signal: AbortSignal },
  ): Promise<void> {
    try {
      await this.#client.put({ bucket: this.bucket, key, body, contentType, ifNoneMatch: "*", signal });
    } catch (error) {
      if (!(error instanceof S3Error) || error.status !== 412 || !(await this.#holds(key, body, signal))) throw error;
    }
  }

  async #holds(key: string, body: Uint8Array, signal: AbortSignal): Promise<boolean> {
    return (await this.#client.getBytes({ bucket: this.bucket, key, signal })).equals(body);
  }

  #own() {
    const { accessKeyId, secretAccessKey } = this.#config;
    return { accessKeyId, secretAccessKey };
  }
}

function toEnv(credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string | undefined }) {
  return {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    ...(credentials.sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: credentials.sessionToken }),
  };
}
