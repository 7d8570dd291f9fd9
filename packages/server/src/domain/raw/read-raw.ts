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
