import { z } from "zod";

const maxKeys = 16;
const Key = z.string().min(1).max(64);
const Value = z.string().max(512);
/** Of a bag; undefined: the library's own. */
const error = ({ code }: { code?: string }) => (code === "invalid_key" ? "a key has 1 to 64 characters" : undefined);

/** Free pairs of a caller's: at most 16, keys to 64 and values to 512 characters. */
export const Metadata = z.record(Key, Value, { error }).refine((bag) => Object.keys(bag).length <= maxKeys, {
  message: `has more than ${maxKeys} keys`,
});

/** A value sets its key, null deletes it. */
export const MetadataPatch = z
  .record(Key, Value.nullable(), { error })
  .refine((bag) => Object.keys(bag).length <= 4 * maxKeys, { message: `names more than ${4 * maxKeys} keys` });
export type MetadataPatch = z.infer<typeof MetadataPatch>;

/** Keys that were not named stay. */
export function patchMetadata(
  metadata: Record<string, string>,
  patch: MetadataPatch | null | undefined,
): Record<string, string> {
  const merged = new Map(Object.entries(metadata));
  for (const [key, value] of Object.entries(patch ?? {})) {
    if (value === null) merged.delete(key);
    else merged.set(key, value);
  }
  return Object.fromEntries(merged);
}
