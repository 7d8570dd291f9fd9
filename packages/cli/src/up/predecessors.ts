import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "@holdfast/std";
import { startTime } from "./lock.ts";
import { writePrivateFile } from "./secrets.ts";

/** How long a service whose supervisor is gone may take to end in order. */
const orderlyMs = 10_000;

/** Notes which process a service is, for the supervisor after this one. */
export function noteProcess(runDir: string, name: string, pid: number): void {
  writePrivateFile(join(runDir, `${name}.pid`), `${pid} ${startTime(pid) ?? ""}`);
}

/**
 * When a supervisor was killed, its services end by themselves, and that takes its time: they hold the data directory
 * until then, and a new service would refuse to start beside them. Waits for them; who does not end in time is killed.
 */
export async function predecessorsGone(runDir: string, signal?: AbortSignal): Promise<void> {
  const files = readdirSync(runDir).filter((name) => name.endsWith(".pid"));
  const deadlineMs = Date.now() + orderlyMs;
  for (const file of files.map((name) => join(runDir, name))) {
    const [pid = "", started = ""] = readFileSync(file, "utf8").split(" ");
    // Pids are used again; start times are not.
    const lives = () => started !== "" && startTime(Number(pid)) === started;
    while (lives()) {
      if (Date.now() > deadlineMs) kill(Number(pid));
      await sleep(50, signal);
    }
    rmSync(file, { force: true });
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Ended just now.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
