import { writeSync } from "node:fs";
import { dirname } from "node:path";
import { placeBelow } from "../../src/disk/image.ts";
import { createTrees } from "../../src/disk/trees.ts";

/** Opens the tree that it is given, says before that it begins, and stays until it is killed. */
const path = process.argv[2] ?? "";
const all = { bytes: 2 ** 40, inodes: 2 ** 30 };
const trees = createTrees({
  kind: "image",
  place: placeBelow(dirname(path)),
  convertUpTo: all,
  warn: (message) => process.stderr.write(`${message}\n`),
});
setInterval(() => undefined, 60_000);
writeSync(1, "now\n");
await trees.open(path, { bytes: 64 * 2 ** 20, inodes: 4_096 });
