import { execFileSync } from "node:child_process";
import { sleep } from "@holdfast/std";
import type { Installation } from "../installation.ts";
import type { Kind } from "../kind.ts";
import { isInit } from "../machine.ts";

const spoolFolder = "/run/holdfast/spool";

export const spool: Kind = {
  name: "spool",
  what: "the disk of the guest's spool is filled to the last byte until the turn has ended, 6 s at the most",
  rounds: 30,
  turn: "ends",
  sessions: 1,
  async begin(installation) {
    // What starts from now on spools on a disk of its own.
    asSandboxRoot(installation, `mount -t tmpfs -o size=24m,mode=0700 tmpfs ${spoolFolder}`);
  },
  async strike({ installation, ended, signal }) {
    asSandboxRoot(installation, `cat /dev/zero > ${spoolFolder}/ballast 2> /dev/null || true`);
    try {
      const limit = AbortSignal.timeout(6_000);
      while (!ended() && !limit.aborted) await sleep(50, signal);
    } finally {
      asSandboxRoot(installation, `rm ${spoolFolder}/ballast`);
    }
    return { kills: 1, detail: "full" };
  },
};

function asSandboxRoot(installation: Installation, command: string): void {
  const init = installation.processes().find(isInit);
  if (init === undefined) throw new Error("no sandbox runs");
  const enter = ["-t", String(init.pid), "-m", "-U", "-S", "0", "-G", "0"];
  execFileSync("nsenter", [...enter, "sh", "-c", command], { stdio: "pipe" });
}
