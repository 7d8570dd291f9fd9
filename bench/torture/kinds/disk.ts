import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "@holdfast/std";
import type { Kind } from "../kind.ts";

/** As `holdfast up` runs it. */
const serverUser = 61001;

let folder = "";

export const disk: Kind = {
  name: "disk",
  what: "the disk of the server's database is filled to the last byte for 0.3 to 5 s",
  rounds: 30,
  turn: "goes_on",
  sessions: 1,
  async prepare(stack) {
    const dataDir = mkdtempSync(join(tmpdir(), "holdfast-torture-"));
    stack.defer(() => rmSync(dataDir, { recursive: true }));
    chmodSync(dataDir, 0o711);
    folder = join(dataDir, "server");
    mkdirSync(folder);
    const options = `size=96m,mode=0700,uid=${serverUser},gid=${serverUser}`;
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "holdfast-torture", folder]);
    stack.defer(() => {
      execFileSync("umount", [folder]);
    });
    return { dataDir };
  },
  async strike({ random, signal }) {
    const forMs = random.between(300, 5_000);
    const ballast = join(folder, "ballast");
    fill(ballast);
    try {
      await sleep(forMs, signal);
    } finally {
      rmSync(ballast);
    }
    return { kills: 1, detail: `full for ${forMs} ms` };
  },
};

/** Writes until nothing more fits. */
function fill(path: string): void {
  const file = openSync(path, "w");
  for (const size of [1024 * 1024, 4096, 1]) {
    const block = Buffer.alloc(size, 1);
    try {
      for (;;) writeSync(file, block);
    } catch {
      // Full, which is what we want.
    }
  }
  closeSync(file);
}
