import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { ChecksumAlgorithm } from "../../wire/checksums.ts";

/** What is kept about an object. It lies behind the data in the same file, so one rename commits both. */
export interface ObjectInfo {
  readonly sizeBytes: number;
  /** Without quotes: the MD5 in hex, or `{md5 of the parts' md5s}-{parts}` of a multipart upload. */
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number;
  /** `content-type` and the other standard headers to give back. */
  readonly headers: Readonly<Record<string, string>>;
  /** User metadata, names without `x-amz-meta-`. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly checksum?: StoredChecksum;
}

export interface StoredChecksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Base64, with `-{parts}` behind it where the type is composite and there were parts. */
  readonly value: string;
  readonly type: "FULL_OBJECT" | "COMPOSITE";
}

/** A file that is not whole: made by an older version on a full disk, or spoilt since. */
export class DamagedObjectError extends Error {
  override readonly name = "DamagedObjectError";
}

const MAGIC = "HFS3OBJ1";
const TRAILER_BYTES = 16;
const TAIL_BYTES = 64 * 1024;

/** The bytes that follow an object's data: JSON, its length, its CRC, a magic word. */
export function encodeFooter(info: ObjectInfo): Buffer {
  const json = Buffer.from(JSON.stringify(info));
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32BE(json.length, 0);
  trailer.writeUInt32BE(crc32(json), 4);
  trailer.write(MAGIC, 8, "latin1");
  return Buffer.concat([json, trailer]);
}

/** An open object: the file stays readable, whole, whatever happens to the key meanwhile. */
export interface OpenObject extends AsyncDisposable {
  readonly info: ObjectInfo;
  readonly handle: FileHandle;
  /** All the data, where the object is small enough to have come along with its footer. */
  readonly data: Buffer | undefined;
}

async function readTail(handle: FileHandle, path: string): Promise<{ info: ObjectInfo; data: Buffer | undefined }> {
  const { size } = await handle.stat();
  const tail = Buffer.allocUnsafe(Math.min(size, TAIL_BYTES));
  const { bytesRead } = await handle.read(tail, 0, tail.length, size - tail.length);
  const corrupt = (why: string): Error => new DamagedObjectError(`object file ${path} is damaged: ${why}`);
  if (bytesRead !== tail.length || tail.length < TRAILER_BYTES) throw corrupt("too short");
  const trailer = tail.subarray(tail.length - TRAILER_BYTES);
  if (trailer.toString("latin1", 8) !== MAGIC) throw corrupt("no footer");
  const jsonStart = tail.length - TRAILER_BYTES - trailer.readUInt32BE(0);
  if (jsonStart < 0) throw corrupt("footer too long");
  const json = tail.subarray(jsonStart, tail.length - TRAILER_BYTES);
  if (crc32(json) !== trailer.readUInt32BE(4)) throw corrupt("footer checksum");
  const info = JSON.parse(json.toString("utf8")) as ObjectInfo;
  if (size !== info.sizeBytes + json.length + TRAILER_BYTES) throw corrupt("size differs from footer");
  return { info, data: tail.length === size ? tail.subarray(0, info.sizeBytes) : undefined };
}

/**
 * Opens an object file.
 * @throws ENOENT where there is none; Error where its footer is damaged
 */
export async function openObjectFile(path: string): Promise<OpenObject> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { info, data } = await readTail(handle, path);
    return { info, data, handle, [Symbol.asyncDispose]: () => handle.close() };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Only what is kept about the object. */
export async function readInfo(path: string): Promise<ObjectInfo> {
  await using object = await openObjectFile(path);
  return object.info;
}
