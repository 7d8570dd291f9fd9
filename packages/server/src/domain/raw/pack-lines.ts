import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { zstdCompress, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Schema, Tx } from "../../ports/database.ts";

const compress = promisify(zstdCompress);

/** A line from here on is a blob of its own. */
export const blobBytes = 256 * 1024;

/** Which line of its batch is a blob. */
export interface BlobRef {
  line: number;
  hash: string;
}

export interface PackedLines {
  batch: Pick<Schema["raw_batches"], "offset" | "lines" | "bytes" | "blobs_json">;
  blobs: Pick<Schema["blobs"], "hash" | "size" | "bytes">[];
}

/** Lines as they are stored; undefined when there are none. */
export async function packLines(
  lines: readonly { bytes: Uint8Array; start: number }[],
): Promise<PackedLines | undefined> {
  const [first] = lines;
  if (first === undefined) return undefined;
  const refs: BlobRef[] = [];
  const blobs: PackedLines["blobs"] = [];
  const inline: Uint8Array[] = [];
  for (const [line, { bytes }] of lines.entries()) {
    if (bytes.length < blobBytes) {
      inline.push(bytes);
      continue;
    }
    const hash = createHash("sha256").update(bytes).digest("hex");
    refs.push({ line, hash });
    blobs.push({ hash, size: bytes.length, bytes: await compress(bytes) });
  }
  const bytes = zstdCompressSync(joinLines(inline));
  const blobs_json = refs.length === 0 ? null : JSON.stringify(refs);
  return { batch: { offset: first.start, lines: lines.length, bytes, blobs_json }, blobs };
}

export async function storePacked(
  tx: Tx,
  ids: { sessionId: string; processId: string },
  packed: PackedLines,
): Promise<void> {
  await tx
    .insertInto("raw_batches")
    .values({ session_id: ids.sessionId, process_id: ids.processId, ...packed.batch })
    // Only a spool that was cut back gives the same place twice (`missingOutput` told of it): the first one stays.
    .onConflict((conflict) => conflict.columns(["process_id", "offset"]).doNothing())
    .execute();
  for (const blob of packed.blobs) {
    await tx
      .insertInto("blobs")
      .values({ session_id: ids.sessionId, ...blob })
      .onConflict((conflict) => conflict.columns(["session_id", "hash"]).doNothing())
      .execute();
  }
}

/** Each line of the batch: its bytes, or the hash of its blob. */
export function unpackLines(batch: PackedLines["batch"]): (Uint8Array | string)[] {
  const refs = batch.blobs_json === null ? [] : (JSON.parse(batch.blobs_json) as BlobRef[]);
  const hashes = new Map(refs.map(({ line, hash }) => [line, hash]));
  const text = zstdDecompressSync(batch.bytes);
  const lines: (Uint8Array | string)[] = [];
  let from = 0;
  for (let line = 0; line < batch.lines; line++) {
    const hash = hashes.get(line);
    if (hash !== undefined) {
      lines.push(hash);
      continue;
    }
    const at = text.indexOf(10, from);
    const end = at === -1 ? text.length : at;
    lines.push(text.subarray(from, end));
    from = end + 1;
  }
  return lines;
}

function joinLines(lines: readonly Uint8Array[]): Uint8Array {
  const newline = Uint8Array.of(10);
  return Buffer.concat(lines.flatMap((line, index) => (index === 0 ? [line] : [newline, line])));
}
