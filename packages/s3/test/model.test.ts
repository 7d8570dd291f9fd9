import { join } from "node:path";
import {
  AbortMultipartUploadCommand,
  type S3Client as AwsClient,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { Model, type ModelCondition, type ModelObject, type Outcome, objectOf, Random } from "./_model.ts";
import { awsClient, ROOT, type ServerProcess, serverProcess, tempDir } from "./_server.ts";

const Bucket = "test";
const MIN_PART = 5 * 1024 * 1024;
const SEGMENTS = ["a", "b", "ab", "é", "日本", "a b", "+", "%2F", "=a", "~", "..", ".", "", "&<", "x".repeat(85), "0"];

/** The real process, its client, and the model that both have to agree with. */
class Run {
  readonly model = new Model();
  readonly random: Random;
  readonly keys: readonly string[];
  readonly #dataDir: string;
  #server: ServerProcess;
  aws: AwsClient;

  private constructor(random: Random, dataDir: string, server: ServerProcess) {
    this.random = random;
    this.#dataDir = dataDir;
    this.#server = server;
    this.aws = awsClient(server.url, ROOT);
    const segments = () => Array.from({ length: 1 + random.int(4) }, () => random.pick(SEGMENTS));
    const made = Array.from({ length: 40 }, () => segments().join("/"));
    this.keys = [...new Set(made.filter((key) => key !== ""))];
  }

  static async start(seed: number, dataDir: string): Promise<Run> {
    return new Run(new Random(seed), dataDir, await serverProcess({ dataDir }));
  }

  async restart(how: "stop" | "kill"): Promise<void> {
    this.aws.destroy();
    if (how === "kill") await this.#server.kill();
    else expect(await this.#server.stop()).toBe(0);
    this.#server = await serverProcess({ dataDir: this.#dataDir });
    this.aws = awsClient(this.#server.url, ROOT);
  }

  kill(): Promise<void> {
    return this.#server.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.aws.destroy();
    await this.#server[Symbol.asyncDispose]();
  }

  key(): string {
    const there = [...this.model.objects.keys()];
    return this.random.int(3) > 0 && there.length > 0 ? this.random.pick(there) : this.random.pick(this.keys);
  }

  body(): Buffer {
    const { random } = this;
    const border = random.pick([64 * 1024, 512 * 1024]) - 300 + random.int(600);
    return random.bytes(random.int(20) === 0 ? border : random.int(3000));
  }

  metadata(): Record<string, string> {
    return this.random.int(2) === 0 ? {} : { run: String(this.random.int(1000)), text: "a b" };
  }

  condition(key: string): ModelCondition {
    const stale = `"${"0".repeat(32)}"`;
    const choices: ModelCondition[] = [
      {},
      {},
      {},
      { IfNoneMatch: "*" },
      { IfMatch: this.model.objects.get(key)?.etag ?? stale },
      { IfMatch: stale },
      { IfMatch: "*" },
    ];
    return this.random.pick(choices);
  }
}

async function outcome<T>(work: Promise<T>, value: (answer: T) => unknown): Promise<Outcome> {
  let answer: T;
  try {
    answer = await work;
  } catch (error) {
    return { code: (error as Error).name };
  }
  return { value: await value(answer) };
}

async function put(run: Run): Promise<string> {
  const key = run.key();
  const [Body, Metadata, condition] = [run.body(), run.metadata(), run.condition(key)];
  const command = new PutObjectCommand({ Bucket, Key: key, Body, Metadata, ...condition });
  const real = await outcome(run.aws.send(command), ({ ETag }) => ETag);
  expect(real).toEqual(run.model.put(key, objectOf(Body, Metadata), condition));
  return `put ${key} ${JSON.stringify(condition)}`;
}

async function read(run: Run): Promise<string> {
  const key = run.key();
  const object = run.model.objects.get(key);
  const head = await outcome(run.aws.send(new HeadObjectCommand({ Bucket, Key: key })), (answer) => [
    answer.ETag,
    answer.ContentLength,
    answer.Metadata,
  ]);
  expect(head).toEqual(object ? { value: [object.etag, object.body.length, object.metadata] } : { code: "NotFound" });
  const size = object?.body.length ?? 0;
  const start = run.random.int(size + 2);
  const end = start + run.random.int(size + 2);
  const Range = run.random.int(2) === 0 ? undefined : `bytes=${start}-${end}`;
  const got = await outcome(run.aws.send(new GetObjectCommand({ Bucket, Key: key, Range })), async ({ Body }) =>
    Buffer.from((await Body?.transformToByteArray()) ?? []).toString("base64"),
  );
  const part = Range === undefined ? object?.body : object?.body.subarray(start, end + 1);
  const value = part?.toString("base64");
  if (!object) expect(got).toEqual({ code: "NoSuchKey" });
  else if (Range !== undefined && start >= size) expect(got).toEqual({ code: "InvalidRange" });
  else expect(got).toEqual({ value });
  return `read ${key} ${Range}`;
}

async function copy(run: Run): Promise<string> {
  const [from, to] = [run.key(), run.key()];
  const metadata = run.random.int(2) === 0 ? undefined : run.metadata();
  const condition = run.condition(to);
  const command = new CopyObjectCommand({
    Bucket,
    Key: to,
    CopySource: `${Bucket}/${from.split("/").map(encodeURIComponent).join("/")}`,
    ...(metadata ? { MetadataDirective: "REPLACE", Metadata: metadata } : {}),
    ...condition,
  });
  const real = await outcome(run.aws.send(command), ({ CopyObjectResult }) => CopyObjectResult?.ETag);
  expect(real).toEqual(run.model.copy(from, to, { ...(metadata ? { metadata } : {}), condition }));
  return `copy ${from} to ${to} ${JSON.stringify({ metadata, condition })}`;
}

async function remove(run: Run): Promise<string> {
  const key = run.key();
  const condition = run.random.int(3) === 0 ? { IfMatch: run.condition(key).IfMatch ?? "*" } : {};
  const real = await outcome(
    run.aws.send(new DeleteObjectCommand({ Bucket, Key: key, ...condition })),
    () => undefined,
  );
  expect(real).toEqual(run.model.delete(key, condition));
  return `delete ${key} ${JSON.stringify(condition)}`;
}

async function removeMany(run: Run): Promise<string> {
  const Objects = Array.from({ length: 1 + run.random.int(4) }, () => {
    const Key = run.key();
    const { IfMatch } = run.condition(Key);
    return IfMatch === undefined ? { Key } : { Key, ETag: IfMatch };
  });
  const { Deleted = [], Errors = [] } = await run.aws.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  const expected = Objects.map(({ Key, ETag }) => {
    const done = run.model.delete(Key, ETag === undefined ? {} : { IfMatch: ETag });
    return "code" in done ? `${Key}: ${done.code}` : Key;
  });
  const answered = [...Deleted.map(({ Key }) => Key), ...Errors.map(({ Key, Code }) => `${Key}: ${Code}`)];
  expect(answered.sort()).toEqual(expected.sort());
  return `delete ${JSON.stringify(Objects)}`;
}

async function list(run: Run): Promise<string> {
  const { random } = run;
  const key = run.key();
  const Prefix = random.int(3) === 0 ? "" : [...key].slice(0, random.int(key.length + 1)).join("");
  const Delimiter = random.pick(["", "/", "/", "a", "é", "b/", "//"]);
  const StartAfter = Delimiter === "" && random.int(2) === 0 ? run.key() : undefined;
  const query = { Bucket, Prefix, Delimiter, MaxKeys: random.pick([1, 2, 3, 7, 1000]) };
  const version = random.int(2);
  const names: string[] = [];
  for (let next: string | undefined, more = true; more; ) {
    const from = version === 0 ? { Marker: next ?? StartAfter } : { ContinuationToken: next, StartAfter };
    const command =
      version === 0 ? new ListObjectsCommand({ ...query, ...from }) : new ListObjectsV2Command({ ...query, ...from });
    const page = await run.aws.send(command as ListObjectsV2Command);
    for (const { Key = "", Size, ETag } of page.Contents ?? []) {
      const object = run.model.objects.get(Key);
      expect([Key, Size, ETag]).toEqual([Key, object?.body.length, object?.etag]);
    }
    const found = [...(page.Contents ?? []).map((o) => o.Key), ...(page.CommonPrefixes ?? []).map((p) => p.Prefix)];
    expect(found.length).toBeLessThanOrEqual(query.MaxKeys);
    names.push(...found.map(String).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    next = "NextMarker" in page ? String(page.NextMarker) : page.NextContinuationToken;
    more = page.IsTruncated === true;
  }
  expect(names).toEqual(run.model.list(Prefix, Delimiter, StartAfter));
  return `list ${JSON.stringify({ ...query, StartAfter, version })}`;
}

async function beginUpload(run: Run): Promise<string> {
  const [key, metadata] = [run.key(), run.metadata()];
  const { UploadId: id = "" } = await run.aws.send(
    new CreateMultipartUploadCommand({ Bucket, Key: key, Metadata: metadata }),
  );
  run.model.uploads.push({ id, key, metadata, parts: new Map() });
  return `begin an upload of ${key}`;
}

async function onUpload(run: Run): Promise<string> {
  const { random, model, aws } = run;
  if (model.uploads.length === 0) return beginUpload(run);
  const upload = random.pick(model.uploads);
  const address = { Bucket, Key: upload.key, UploadId: upload.id };
  const numbers = [...upload.parts.keys()].sort((a, b) => a - b);
  const what = random.pick(["part", "part", "parts", "uploads", "complete", "complete", "abort"] as const);
  if (what === "part") {
    const [PartNumber, Body] = [1 + random.int(3), run.body()];
    await aws.send(new UploadPartCommand({ ...address, PartNumber, Body }));
    upload.parts.set(PartNumber, Body);
  } else if (what === "parts") {
    const { Parts = [] } = await aws.send(new ListPartsCommand(address));
    expect(Parts.map((part) => [part.PartNumber, part.Size])).toEqual(
      numbers.map((number) => [number, upload.parts.get(number)?.length]),
    );
  } else if (what === "uploads") {
    const { Uploads = [] } = await aws.send(new ListMultipartUploadsCommand({ Bucket }));
    expect(Uploads.map((one) => one.UploadId)).toEqual(model.uploadIds());
  } else if (what === "abort") {
    await aws.send(new AbortMultipartUploadCommand(address));
    model.forget(upload);
    const again = await outcome(aws.send(new ListPartsCommand(address)), () => "it is there still");
    expect(again).toEqual({ code: "NoSuchUpload" });
  } else {
    // All but the last have to be large: mostly one is chosen, and now and then one that is not there.
    const large = numbers.filter((number) => (upload.parts.get(number)?.length ?? 0) >= MIN_PART);
    const last = random.int(8) === 0 || numbers.length === 0 ? 9 : random.pick(numbers);
    const chosen = [...large.filter((number) => number < last), last];
    const Parts = chosen.map((PartNumber) => {
      const { etag } = objectOf(upload.parts.get(PartNumber) ?? Buffer.alloc(0));
      return { PartNumber, ETag: etag };
    });
    const condition = run.condition(upload.key);
    const command = new CompleteMultipartUploadCommand({ ...address, MultipartUpload: { Parts }, ...condition });
    const real = await outcome(aws.send(command), ({ ETag }) => ETag);
    expect(real).toEqual(model.complete(upload, chosen, condition));
  }
  return `${what} of ${upload.key}`;
}

const STEPS = [
  put,
  put,
  put,
  read,
  read,
  read,
  copy,
  copy,
  remove,
  removeMany,
  list,
  list,
  beginUpload,
  onUpload,
  onUpload,
  onUpload,
];

/** Writes to different keys at once, and death in the middle: each happened or did not; what was answered did. */
async function burst(run: Run): Promise<string> {
  const { random, model } = run;
  const keys = [...new Set(Array.from({ length: 12 }, () => run.key()))];
  const steady = [...model.objects].filter(([key]) => !keys.includes(key));
  const enough = Promise.withResolvers<void>();
  let answers = 0;
  const killAfter = 1 + random.int(Math.max(1, keys.length - 2));
  const writes = keys.map((key) => {
    const source = random.int(3) === 0 && steady.length > 0 ? random.pick(steady) : undefined;
    const after: ModelObject | undefined = source?.[1] ?? (random.int(4) === 0 ? undefined : objectOf(run.body()));
    const send = async () => {
      if (source) {
        const CopySource = `${Bucket}/${source[0].split("/").map(encodeURIComponent).join("/")}`;
        await run.aws.send(new CopyObjectCommand({ Bucket, Key: key, CopySource }));
      } else if (after) await run.aws.send(new PutObjectCommand({ Bucket, Key: key, Body: after.body }));
      else await run.aws.send(new DeleteObjectCommand({ Bucket, Key: key }));
      answers += 1;
      if (answers === killAfter) enough.resolve();
    };
    return { key, after, before: model.objects.get(key), sent: send() };
  });
  const ended = Promise.allSettled(writes.map(({ sent }) => sent));
  await Promise.race([enough.promise, ended]);
  await run.kill();
  const results = await ended;
  await run.restart("kill");
  for (const [at, { key, after, before }] of writes.entries()) {
    const now = await outcome(run.aws.send(new HeadObjectCommand({ Bucket, Key: key })), ({ ETag }) => ETag);
    const allowed = results[at]?.status === "fulfilled" ? [after] : [before, after];
    const states = allowed.map((object) => (object ? { value: object.etag } : { code: "NotFound" }));
    expect(states, `${key} after death`).toContainEqual(now);
    const is = allowed[states.findIndex((state) => JSON.stringify(state) === JSON.stringify(now))];
    if (is) model.objects.set(key, is);
    else model.objects.delete(key);
  }
  return `burst over ${keys.length} keys, killed after ${killAfter} answers`;
}

/** Everything that the model knows, and nothing else, is there. */
async function compareAll(run: Run): Promise<void> {
  const { Contents = [] } = await run.aws.send(new ListObjectsV2Command({ Bucket }));
  expect(Contents.map(({ Key }) => Key)).toEqual(run.model.list("", ""));
  for (const [Key, { body, metadata, etag }] of run.model.objects) {
    const got = await run.aws.send(new GetObjectCommand({ Bucket, Key }));
    const bytes = Buffer.from((await got.Body?.transformToByteArray()) ?? []);
    expect([Key, got.ETag, got.Metadata, bytes.equals(body)]).toEqual([Key, etag, metadata, true]);
  }
  const { Uploads = [] } = await run.aws.send(new ListMultipartUploadsCommand({ Bucket }));
  expect(Uploads.map((one) => one.UploadId)).toEqual(run.model.uploadIds());
}

const fromEnv = process.env.HOLDFAST_TEST_SEED;
const SEEDS = fromEnv === undefined ? [1, Math.floor(Math.random() * 2 ** 31)] : [Number(fromEnv)];

// A process starts for every restart, which takes seconds where the machine is busy.
describe("a random sequence of operations, restarts and deaths", { timeout: 240_000 }, () => {
  it.each(SEEDS)("leaves what S3 would (HOLDFAST_TEST_SEED=%i)", async (seed) => {
    await using directory = await tempDir();
    await using run = await Run.start(seed, join(directory.path, "data"));
    const history: string[] = [];
    try {
      for (let step = 0; step < 150; step++) {
        if (step % 50 === 49) history.push(await burst(run));
        else if (step % 50 === 24) {
          await run.restart(run.random.pick(["stop", "kill"]));
          history.push("restart");
        } else history.push(await run.random.pick(STEPS)(run));
      }
      await compareAll(run);
    } catch (error) {
      throw new Error(`seed ${seed}, after:\n${history.slice(-12).join("\n")}`, { cause: error });
    }
  });
});
