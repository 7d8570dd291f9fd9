/**
 * Runs inside a sandbox, in its own Node: `node -e … CONFIG_DIR TMP_DIR ID…`. Removes what is named after one of the
 * sessions (transcripts, tool results, todos, checkpoints, debug logs, output of tasks) and the lines about them in the
 * files that all sessions share. Symbolic links are removed, never followed.
 */
export const transcriptEraser = `
const fs = require("node:fs");
const path = require("node:path");
const [config, tmp, ...ids] = process.argv.slice(1);
const about = (text) => ids.some((id) => text.includes(id));
const unlessGone = (work) => {
  try {
    return work();
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  }
};
const sweep = (dir, depth) => {
  for (const entry of unlessGone(() => fs.readdirSync(dir, { withFileTypes: true })) ?? []) {
    const at = path.join(dir, entry.name);
    if (about(entry.name)) fs.rmSync(at, { recursive: true, force: true });
    else if (entry.isDirectory() && depth > 0) sweep(at, depth - 1);
  }
};
const filter = (file) => {
  const before = unlessGone(() => fs.readFileSync(file, "utf8"));
  if (before === undefined || !about(before)) return;
  const kept = before.split("\\n").filter((line) => !about(line)).join("\\n");
  const next = file + ".holdfast-" + process.pid;
  fs.writeFileSync(next, kept, { mode: 0o600, flag: "wx" });
  fs.renameSync(next, file);
};
if (ids.length > 0) {
  sweep(config, 3);
  for (const name of unlessGone(() => fs.readdirSync(tmp)) ?? [])
    if (name.startsWith("claude-")) sweep(path.join(tmp, name), 3);
  for (const entry of unlessGone(() => fs.readdirSync(config, { withFileTypes: true })) ?? [])
    if (entry.isFile() && entry.name.endsWith(".jsonl")) filter(path.join(config, entry.name));
}
`;
