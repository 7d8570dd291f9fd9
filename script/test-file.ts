/**
 * Runs around every test file: it has a temporary directory of its own, and whatever it started or mounted there ends
 * with it, however its tests went; the directory goes too. A process or a mount that was left over fails the file, by
 * name.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { endBelow } from "../packages/testkit/src/end-below.ts";

/** What ends in order may take its time on a busy machine. */
const graceMs = 10_000;

const before = process.env.TMPDIR;
const dir = mkdtempSync(join(tmpdir(), "hf-"));
// As /tmp: programs of other users make files there, too.
chmodSync(dir, 0o1777);
process.env.TMPDIR = dir;

afterAll(async () => {
  const left = await endBelow(dir, { graceMs });
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
  rmSync(dir, { recursive: true, force: true });
  // Said at once, too: a run that is cut short prints no summary.
  if (left.length > 0) console.error(left.join("\n"));
  if (left.length > 0) throw new Error(`This file's tests left something behind:\n${left.join("\n")}`);
}, 60_000);
