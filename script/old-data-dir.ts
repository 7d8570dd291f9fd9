/**
 * Makes a data directory with the program as it was at an old commit, kills that program and leaves its sandbox living:
 * what a newer one must be able to start on. Needs root, and a clone with its whole history.
 *
 *   node script/old-data-dir.ts DIR [COMMIT]
 *   node packages/cli/src/main.ts up --data-dir DIR
 *
 * Prints as JSON what lies in it (accounts with their keys, sessions, the living sandbox). The newer program ends the
 * sandbox with its own Ctrl-C.
 */
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { imageCacheDir } from "@holdfast/testkit";
import { hasCommit } from "./old-data-dir/checkout.ts";
import { makeOldDataDir, oldCommit } from "./old-data-dir/make.ts";

const [dir, commit = oldCommit] = process.argv.slice(2);
if (dir === undefined || dir.startsWith("-")) {
  console.error("node script/old-data-dir.ts DIR [COMMIT]");
  process.exitCode = 2;
} else if (hasCommit(commit)) {
  const dataDir = resolve(dir);
  mkdirSync(dataDir, { recursive: true, mode: 0o711 });
  const made = await makeOldDataDir({ dataDir, imageCacheDir, commit, say: (text) => console.error(`-> ${text}`) });
  console.log(JSON.stringify(made, null, 2));
} else {
  console.error(`This clone's history does not go back to ${commit}. Fetch all of it: git fetch --unshallow.`);
  process.exitCode = 1;
}
