import type { ObjectStore } from "../../ports/object-store.ts";

/** The last object of a save. Where it is there already, with the same words, another server has written it. */
export async function writeManifest(
  store: ObjectStore,
  { prefix, manifest, signal }: { prefix: string; manifest: string; signal: AbortSignal },
): Promise<void> {
  const body = new TextEncoder().encode(manifest);
  await store.create(`${prefix}.manifest`, body, { contentType: "application/json", signal });
}
