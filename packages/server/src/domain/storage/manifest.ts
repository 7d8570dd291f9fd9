import { createHash } from "node:crypto";
import type { ObjectStore } from "../../ports/object-store.ts";

/** All objects of a copy, as they were when nothing could be written to it any more. */
export interface CopyListing {
  files: number;
  bytes: number;
  /** One JSON object a line: `key` (below the prefix), `size`, `etag`. */
  lines: Buffer;
  /** Of the lines, hex. */
  sha256: string;
}

export async function listCopy(
  store: ObjectStore,
  { prefix, signal }: { prefix: string; signal: AbortSignal },
): Promise<CopyListing> {
  const sha256 = createHash("sha256");
  const pages: Buffer[] = [];
  const total = { files: 0, bytes: 0 };
  for await (const objects of store.objectsBelow(prefix, { signal })) {
    const lines = objects.map(({ key, sizeBytes, etag }) => {
      total.files++;
      total.bytes += sizeBytes;
      return `${JSON.stringify({ key: key.slice(prefix.length), size: sizeBytes, etag })}\n`;
    });
    const page = Buffer.from(lines.join(""));
    sha256.update(page);
    pages.push(page);
  }
  return { ...total, lines: Buffer.concat(pages), sha256: sha256.digest("hex") };
}

/** Beside the manifest, which has its digest: it may be large, and the manifest is kept in a row until it is written. */
export async function writeListing(
  store: ObjectStore,
  { prefix, listing, signal }: { prefix: string; listing: CopyListing; signal: AbortSignal },
): Promise<void> {
  await store.create(`${prefix}${listingName}`, listing.lines, { contentType: "application/x-ndjson", signal });
}

export const listingName = ".manifest.objects";

/** The last object of a save. Where it is there already, with the same words, another server has written it. */
export async function writeManifest(
  store: ObjectStore,
  { prefix, manifest, signal }: { prefix: string; manifest: string; signal: AbortSignal },
): Promise<void> {
  const body = new TextEncoder().encode(manifest);
  await store.create(`${prefix}.manifest`, body, { contentType: "application/json", signal });
}
