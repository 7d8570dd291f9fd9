import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Checksum, type ChecksumAlgorithm, createChecksum } from "../../wire/checksums.ts";
import { errnoOf, Fault } from "../faults.ts";
import { encodeFooter, type ObjectInfo, openObjectFile, readInfo, type StoredChecksum } from "./footer.ts";
import type { Sink } from "./sink.ts";
import type { ObjectAddress, ObjectStore, WriteCondition } from "./store.ts";

/** A multipart upload under way. It lies on disk and survives a restart. */
export interface Upload {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly startedMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly type: StoredChecksum["type"] };
}

export interface PartInfo extends ObjectInfo {
  readonly partNumber: number;
}

/** One line of a CompleteMultipartUpload. */
export interface CompletePart {
  readonly partNumber: number;
  readonly etag: string;
  readonly checksums: Partial<Record<ChecksumAlgorithm, string>>;
}

/** What is said of the object that the parts make, and must be true of it. */
export interface WholeObject {
  readonly sizeBytes?: number;
  /** In base64, of the upload's kind. */
  readonly checksum?: string | undefined;
}

export interface Completion {
  readonly parts: readonly CompletePart[];
  readonly expected: WholeObject;
  readonly modifiedMs: number;
}

export const MAX_PART_NUMBER = 10_000;
const MIN_PART_BYTES = 5 * 1024 * 1024;
const COPY_BYTES = 1024 * 1024;

/** Multipart uploads, kept beside the buckets until they are completed or aborted. */
export class UploadStore {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  #dir(bucket: string, id: string): string {
    // The id comes from the client and becomes a path component.
    if (!/^[0-9a-f]{32}$/.test(id)) throw new Fault("NoSuchUpload", { details: { UploadId: id.slice(0, 64) } });
    return join(this.#store.uploadsDir, bucket, id);
  }

  async create(upload: Omit<Upload, "id">): Promise<Upload> {
    this.#store.requireBucket(upload.bucket);
    // Ids sort by their start, so that a list can go on behind an upload that is no more.
    const started = upload.startedMs.toString(16).padStart(12, "0");
    const made: Upload = { ...upload, id: `${started}${randomBytes(10).toString("hex")}` };
    const parent = join(this.#store.uploadsDir, made.bucket);
    await mkdir(parent, { recursive: true, mode: 0o700 });
    await using sink = await this.#store.createSink(0);
    await sink.seal({ tail: Buffer.from(JSON.stringify(made)), durable: this.#store.durable });
    const dir = this.#dir(made.bucket, made.id);
    await mkdir(dir, { mode: 0o700 });
    try {
      await this.#store.files.rename(sink.path, join(dir, "upload.json"));
      sink.markCommitted();
      await Promise.all([dir, parent, this.#store.uploadsDir].map((path) => this.#store.directories.sync(path)));
    } catch (error) {
      await this.#store.retire(dir);
      throw error;
    }
    return made;
  }

  /** @throws Fault NoSuchUpload */
  async get(address: ObjectAddress, id: string): Promise<Upload> {
    this.#store.requireBucket(address.bucket);
    const upload = await this.#read(address.bucket, id);
    if (upload?.key !== address.key) throw new Fault("NoSuchUpload", { details: { UploadId: id.slice(0, 64) } });
    return upload;
  }

  async #read(bucket: string, id: string): Promise<Upload | undefined> {
    try {
      return JSON.parse(await readFile(join(this.#dir(bucket, id), "upload.json"), "utf8")) as Upload;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** All uploads of a bucket, by key, then by id, which is by start. */
  async list(bucket: string): Promise<Upload[]> {
    this.#store.requireBucket(bucket);
    const found: Upload[] = [];
    for (const id of await namesIn(join(this.#store.uploadsDir, bucket))) {
      const upload = await this.#read(bucket, id);
      if (upload) found.push(upload);
    }
    return found.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) || (a.id < b.id ? -1 : 1));
  }

  /** Forgets uploads begun before a time, and directories as old that never became an upload. */
  async dropBefore(timeMs: number): Promise<void> {
    for (const bucket of await namesIn(this.#store.uploadsDir)) {
      for (const id of await namesIn(join(this.#store.uploadsDir, bucket))) {
        const dir = this.#dir(bucket, id);
        const startedMs = (await this.#read(bucket, id))?.startedMs ?? (await changedMs(dir));
        if (startedMs >= timeMs) continue;
        await this.#store.locks.run(dir, () => this.#store.retire(dir));
      }
    }
  }

  async putPart(upload: Upload, part: { partNumber: number; sink: Sink; info: ObjectInfo }): Promise<void> {
    const dir = this.#dir(upload.bucket, upload.id);
    await part.sink.seal({ tail: encodeFooter(part.info), durable: this.#store.durable });
    await this.#store.locks.run(dir, async () => {
      try {
        await this.#store.files.rename(part.sink.path, join(dir, String(part.partNumber)));
      } catch (error) {
        if (errnoOf(error) === "ENOENT") throw new Fault("NoSuchUpload", { details: { UploadId: upload.id } });
        throw error;
      }
      part.sink.markCommitted();
      await this.#store.directories.sync(dir);
    });
  }

  async parts(upload: Upload): Promise<PartInfo[]> {
    const dir = this.#dir(upload.bucket, upload.id);
    const numbers = (await namesIn(dir)).filter((name) => /^\d+$/.test(name)).map(Number);
    numbers.sort((a, b) => a - b);
    const parts: PartInfo[] = [];
    for (const partNumber of numbers) parts.push({ ...(await readInfo(join(dir, String(partNumber)))), partNumber });
    return parts;
  }

  async abort(upload: Upload): Promise<void> {
    const dir = this.#dir(upload.bucket, upload.id);
    await this.#store.locks.run(dir, () => this.#store.retire(dir));
  }

  /**
   * Joins the listed parts into the object, then forgets the upload.
   * @throws Fault InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest, InvalidRequest, PreconditionFailed,
   * NoSuchUpload
   */
  complete(upload: Upload, asked: Completion, condition?: WriteCondition): Promise<ObjectInfo> {
    const dir = this.#dir(upload.bucket, upload.id);
    return this.#store.locks.run(dir, async () => {
      // Again under the lock: another completion may have been first.
      await this.get(upload, upload.id);
      const parts = await this.#chosenParts(upload, asked.parts);
      const running = upload.checksum?.type === "FULL_OBJECT" ? createChecksum(upload.checksum.algorithm) : undefined;
      await using sink = await this.#store.createSink(parts.reduce((sum, part) => sum + part.sizeBytes, 0));
      for (const part of parts) await appendPart(sink, join(dir, String(part.partNumber)), running);
      const checksum = joinedChecksum(upload, parts, running);
      requireWhole(asked.expected, { sizeBytes: sink.sizeBytes, checksum: checksum?.value });
      const info: ObjectInfo = {
        sizeBytes: sink.sizeBytes,
        etag: joinedEtag(parts),
        modifiedMs: asked.modifiedMs,
        headers: upload.headers,
        metadata: upload.metadata,
        ...(checksum ? { checksum } : {}),
      };
      await this.#store.commit(upload, { sink, info, condition });
      await this.#store.retire(dir);
      return info;
    });
  }

  async #chosenParts(upload: Upload, asked: readonly CompletePart[]): Promise<PartInfo[]> {
    const known = new Map((await this.parts(upload)).map((part) => [part.partNumber, part]));
    const inOrder = asked.every((part, index) => part.partNumber > (asked[index - 1]?.partNumber ?? 0));
    if (!inOrder) throw new Fault("InvalidPartOrder");
    return asked.map((wanted, index) => {
      const part = known.get(wanted.partNumber);
      const details = { PartNumber: String(wanted.partNumber) };
      if (part?.etag !== wanted.etag) throw new Fault("InvalidPart", { details });
      const sum = part.checksum;
      if (sum && (wanted.checksums[sum.algorithm] ?? sum.value) !== sum.value)
        throw new Fault("InvalidPart", { details });
      if (index < asked.length - 1 && part.sizeBytes < MIN_PART_BYTES) throw new Fault("EntityTooSmall", { details });
      return part;
    });
  }
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Now, for what has gone meanwhile. */
async function changedMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return Date.now();
    throw error;
  }
}

async function appendPart(sink: Sink, path: string, running: Checksum | undefined): Promise<void> {
  await using part = await openObjectFile(path);
  for (let at = 0; at < part.info.sizeBytes; ) {
    const length = Math.min(COPY_BYTES, part.info.sizeBytes - at);
    const { bytesRead, buffer } = await part.handle.read(Buffer.allocUnsafe(length), 0, length, at);
    if (bytesRead === 0) throw new Error(`part ${path} ended early`);
    const chunk = buffer.subarray(0, bytesRead);
    running?.update(chunk);
    await sink.write(chunk);
    at += bytesRead;
  }
}

/** @throws Fault InvalidRequest, BadDigest */
function requireWhole(expected: WholeObject, made: WholeObject): void {
  if (expected.sizeBytes !== undefined && expected.sizeBytes !== made.sizeBytes) {
    throw new Fault("InvalidRequest", {
      message: `The parts make ${made.sizeBytes} bytes, not ${expected.sizeBytes}.`,
    });
  }
  if (expected.checksum !== undefined && expected.checksum !== made.checksum) {
    throw new Fault("BadDigest", { message: "The checksum you specified is not that of the parts together." });
  }
}

function joinedEtag(parts: readonly PartInfo[]): string {
  const md5 = createHash("md5");
  for (const part of parts) md5.update(Buffer.from(part.etag, "hex"));
  return `${md5.digest("hex")}-${parts.length}`;
}

function joinedChecksum(
  upload: Upload,
  parts: readonly PartInfo[],
  running: Checksum | undefined,
): StoredChecksum | undefined {
  if (!upload.checksum) return undefined;
  const { algorithm, type } = upload.checksum;
  if (running) return { algorithm, type, value: running.digest().toString("base64") };
  const joined = createChecksum(algorithm);
  for (const part of parts) {
    if (part.checksum?.algorithm !== algorithm) return undefined;
    joined.update(Buffer.from(part.checksum.value, "base64"));
  }
  return { algorithm, type, value: `${joined.digest().toString("base64")}-${parts.length}` };
}
