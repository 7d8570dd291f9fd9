/**
 * How a key becomes a path below a bucket's directory.
 *
 * `docs/a b/x` is stored as `+docs/+a b/=x`: directories start with `+`, objects with `=`, so that `a` and `a/b` can
 * both exist and no name is ever `.`, `..` or empty. Bytes other than visible ASCII are written `%XX`. A segment of
 * 80 bytes or more continues in a directory `~{first 80 bytes}`, so that no name passes 255 bytes however it is
 * encoded. The client's bytes never choose a path component that we did not spell ourselves.
 *
 * Keys here are *binary strings*: one character per UTF-8 byte, so that `<` compares them in S3's order.
 */
export const SEGMENT_BYTES = 80;

export type BinaryKey = string & { readonly binary: unique symbol };

export function toBinary(key: string): BinaryKey {
  return Buffer.from(key, "utf8").toString("latin1") as BinaryKey;
}

export function fromBinary(key: string): string {
  return Buffer.from(key, "latin1").toString("utf8");
}

function escapeSegment(binary: string): string {
  return binary.replace(/[^ -$&-.0-~]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"));
}

function unescapeSegment(name: string): string {
  return name.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Path components of a key, the object's file name last. */
export function keyToComponents(key: BinaryKey): string[] {
  const segments = key.split("/");
  const components: string[] = [];
  segments.forEach((whole, index) => {
    let segment = whole;
    while (segment.length >= SEGMENT_BYTES) {
      components.push("~" + escapeSegment(segment.slice(0, SEGMENT_BYTES)));
      segment = segment.slice(SEGMENT_BYTES);
    }
    components.push((index === segments.length - 1 ? "=" : "+") + escapeSegment(segment));
  });
  return components;
}

/** What a directory entry adds to its parent's prefix; `isObject` says whether it ends there. */
export interface EntryName {
  readonly adds: string;
  readonly isObject: boolean;
}

/** Reads a directory entry's name; undefined for a name we would not have written. */
export function parseEntryName(name: string): EntryName | undefined {
  const text = unescapeSegment(name.slice(1));
  if (name.startsWith("=")) return { adds: text, isObject: true };
  if (name.startsWith("+")) return { adds: text + "/", isObject: false };
  if (name.startsWith("~")) return { adds: text, isObject: false };
  return undefined;
}
