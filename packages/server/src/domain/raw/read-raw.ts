import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import type { Database } from "../../ports/database.ts";
import { clipLine } from "./clip-line.ts";
import { unpackLines } from "./pack-lines.ts";

const decompress = promisify(zstdDecompress);
const newline = Uint8Array.of(10);

export interface ReadRawOptions {
  sessionId: string;
  /** Every byte; else images and copies of files are clipped. */
  full: boolean;
  signal: AbortSignal;
}

/** What the session's processes printed so far, drafts excepted, in order. Holds one batch, or one large line. */
export async function* readRaw(db: Database, options: ReadRawOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const { sessionId, full, signal } = options;
  for (const processId of await processesOf(db, sessionId)) {
    for await (const line of linesOf(db, { sessionId, processId })) {
      signal.throwIfAborted();
      yield Buffer.concat([full ? line : clipLine(line), newline]);
    }
  }
}

/** The last of it first: each batch of lines, whole and in order, without those that are as large as to lie apart. */
export async function* readRawBackwards(db: Database, sessionId: string): AsyncGenerator<Uint8Array[]> {
  for (const processId of (await processesOf(db, sessionId)).reverse()) {
    for (let before = Number.MAX_SAFE_INTEGER; ; ) {
      const batch = await db
        .selectFrom("raw_batches")
        .select(["offset", "lines", "bytes", "blobs_json"])
        .where("process_id", "=", processId)
        .where("offset", "<", before)
        .orderBy("offset", "desc")
        .limit(1)
        .executeTakeFirst();
      if (batch === undefined) break;
      before = batch.offset;
      yield unpackLines(batch).filter((line) => typeof line !== "string");
    }
  }
}

async function processesOf(db: Database, sessionId: string): Promise<string[]> {
  const rows = await db
    .selectFrom("processes")
    .select("id")
    .where("session_id", "=", sessionId)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
  return rows.map(({ id }) => id);
}

async function* linesOf(db: Database, ids: { sessionId: string; processId: string }): AsyncGenerator<Uint8Array> {
  for (let after = -1; ; ) {
    const batch = await db
      .selectFrom("raw_batches")
      .select(["offset", "lines", "bytes", "blobs_json"])
      .where("process_id", "=", ids.processId)
      .where("offset", ">", after)
      .orderBy("offset")
      .limit(1)
      .executeTakeFirst();
    if (batch === undefined) return;
    after = batch.offset;
    for (const line of unpackLines(batch)) yield typeof line === "string" ? await blob(db, ids.sessionId, line) : line;
  }
}

async function blob(db: Database, sessionId: string, hash: string): Promise<Uint8Array> {
  const row = await db
    .selectFrom("blobs")
    .select("bytes")
    .where("session_id", "=", sessionId)
    .where("hash", "=", hash)
    .executeTakeFirstOrThrow();
  return await decompress(row.bytes);
}
