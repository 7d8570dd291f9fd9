import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { S3Client as AwsClient, type S3ClientConfig } from "@aws-sdk/client-s3";
import {
  type Credentials,
  createS3Client,
  type S3Client,
  type S3Server,
  type S3ServerOptions,
  startS3Server,
} from "../src/index.ts";

export const ROOT: Credentials = { accessKeyId: "HOLDFASTTESTROOT", secretAccessKey: "a-secret-of-enough-characters" };
export const REGION = "us-east-1";

/** A directory that goes away with its holder. */
export async function tempDir(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "holdfast-s3-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  readonly server: S3Server;
  /** Our client, for these credentials or root's. */
  client(credentials?: Credentials): S3Client;
  /** The AWS SDK's client. */
  aws(credentials?: Credentials, config?: Partial<S3ClientConfig>): AwsClient;
}

/** A server in this process with the bucket `test`. */
export async function testServer(options: Partial<S3ServerOptions> = {}): Promise<TestServer> {
  const directory = options.dataDir === undefined ? await tempDir() : undefined;
  const dataDir = options.dataDir ?? join(directory?.path ?? "", "data");
  const server = await startS3Server({ ...ROOT, buckets: ["test"], ...options, dataDir });
  const stack = new AsyncDisposableStack();
  if (directory) stack.use(directory);
  stack.use(server);
  return {
    url: server.url,
    dataDir,
    server,
    client: (credentials = ROOT) =>
      stack.use(createS3Client({ endpoint: server.url, region: REGION, credentials, forcePathStyle: true })),
    aws: (credentials = ROOT, config = {}) =>
      stack.adopt(awsClient(server.url, credentials, config), (c) => c.destroy()),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

export function awsClient(endpoint: string, credentials: Credentials, config: Partial<S3ClientConfig> = {}): AwsClient {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  return new AwsClient({
    endpoint,
    region: REGION,
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
    ...config,
  });
}

export interface ServerProcess extends AsyncDisposable {
  readonly url: string;
  readonly child: ChildProcess;
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; the exit code. */
  stop(): Promise<number | null>;
}

/** The real process, as the supervisor starts it; `wrap` is a command that becomes it. */
export async function serverProcess(
  options: { readonly dataDir: string; readonly [option: string]: unknown },
  wrap: readonly string[] = [],
): Promise<ServerProcess> {
  const optionsFile = `${options.dataDir}.options.json`;
  await writeFile(optionsFile, JSON.stringify({ ...ROOT, buckets: ["test"], logLevel: "error", ...options }), {
    mode: 0o600,
  });
  const main = new URL("../src/main.ts", import.meta.url).pathname;
  const [command = process.execPath, ...args] = [...wrap, process.execPath, main];
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, HOLDFAST_OPTIONS_FILE: optionsFile },
  });
  const exited = once(child, "exit");
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const ready = JSON.parse(line) as { ready: boolean; url: string; error?: object };
  if (!ready.ready) {
    await exited;
    throw new Error(`the S3 process did not start: ${line}`);
  }
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
    return child.exitCode;
  };
  return {
    url: ready.url,
    child,
    kill: async () => {
      await end("SIGKILL");
    },
    stop: () => end("SIGTERM"),
    [Symbol.asyncDispose]: async () => {
      await end("SIGKILL");
    },
  };
}

/** Status and code of a call of the AWS SDK that must be refused. */
export async function refusal(work: Promise<unknown>): Promise<{ status: number | undefined; code: string }> {
  try {
    await work;
  } catch (error) {
    const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } };
    return { status: $metadata?.httpStatusCode, code: name };
  }
  throw new Error("the call was not refused");
}
