import type { RegistryEntry } from "../config/options.ts";

/** Image names that stand for base file systems made on this machine; there is no registry. */
export const builtInTags: Record<string, RegistryEntry> = {
  "debian:12": { base: "debian" },
  "debian:12-slim": { base: "debian" },
  "debian:bookworm": { base: "debian" },
  "debian:bookworm-slim": { base: "debian" },
  "node:24": { base: "node" },
  "node:24-bookworm": { base: "node" },
  "node:24-slim": { base: "node" },
  "node:24-bookworm-slim": { base: "node" },
};

/** Finds `tag` (also as `docker.io/library/tag` or `library/tag`) among the operator's entries, then the built-in ones. */
export function resolveTag(tag: string, own: Record<string, RegistryEntry>): RegistryEntry | undefined {
  const short = tag.replace(/^(docker\.io\/)?(library\/)?/, "");
  return own[tag] ?? own[short] ?? builtInTags[short];
}

/** What a failing build says about an unknown tag. */
export function unknownTag(tag: string, own: Record<string, RegistryEntry>): string {
  const known = [...new Set([...Object.keys(own), ...Object.keys(builtInTags)])].sort();
  return (
    `image '${tag}' is not known to this engine, which has no registry to pull from. ` +
    `Use one of ${known.join(", ")}, or add the name to the engine's 'registry' option.`
  );
}
