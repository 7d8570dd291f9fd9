import { lstatSync } from "node:fs";
import { join } from "node:path";

/**
 * The host path of `path` in a tree that strangers wrote, or undefined when a parent of it is a link or missing: what an
 * image says about itself never leads out of it. Nobody may write the tree meanwhile.
 */
export function pathInside(root: string, path: string): string | undefined {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) return undefined;
  let at = root;
  for (const name of names.slice(0, -1)) {
    at = join(at, name);
    if (lstatSync(at, { throwIfNoEntry: false })?.isDirectory() !== true) return undefined;
  }
  return join(at, names.at(-1) ?? "");
}
