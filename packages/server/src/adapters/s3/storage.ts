import type { S3Options } from "../../config/options.ts";
import type { StorageState } from "../../ports/object-store.ts";

/** Whether workspaces are saved to S3, from a configuration of which everything may be missing. */
export async function openStorage(options: S3Options, _: { signal: AbortSignal }): Promise<StorageState> {
  const bucket = options?.buckets?.["agent-docs"];
  if (bucket === undefined || bucket === null || bucket === "") {
    return { on: false, reason: 'S3 not configured: there is no s3.buckets["agent-docs"]' };
  }
  return { on: false, reason: "S3 not configured: no client" };
}
