import { AppError, Metadata } from "@holdfast/protocol";

/** After a patch: the whole may be too large although every part is not. */
export function checkMetadataSize(metadata: Record<string, string>): void {
  const parsed = Metadata.safeParse(metadata);
  if (parsed.success) return;
  const errors = parsed.error.issues.map(({ path, message }) => ({ path: ["metadata", ...path].join("."), message }));
  throw new AppError("request_invalid", { detail: "The metadata would be too large", errors });
}
