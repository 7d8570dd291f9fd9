import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The Holdfast that runs on a data directory. */
export interface Running {
  /** The supervisor's. */
  pid: number;
  /** Where it serves; unknown until it is ready. */
  url: string | undefined;
}

export const addressFile = (dataDir: string) => join(dataDir, "run", "address");

/** Lets other commands on this machine find the server of a data directory. */
export function writeAddress(dataDir: string, url: string): void {
  writeFileSync(addressFile(dataDir), `${process.pid} ${url}\n`, { mode: 0o600 });
}

/** Undefined when nothing runs there, or when only root may know. */
export function runningOn(dataDir: string): Running | undefined {
  const [pid = "", started = ""] = read(join(dataDir, "run", "up.lock")).split(" ");
  // Process ids are used again; with the time of its start one is unmistakable.
  if (started === "" || startTime(pid) !== started) return undefined;
  const [owner, url] = read(addressFile(dataDir)).trim().split(" ");
  return { pid: Number(pid), url: owner === pid ? url : undefined };
}

/** Whether this very process still lives. */
export function lives(running: Running, dataDir: string): boolean {
  return runningOn(dataDir)?.pid === running.pid;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Absent, or not ours to read: as if nothing ran.
    return "";
  }
}

/** Field 22 of /proc/PID/stat: when the process started. */
function startTime(pid: string): string | undefined {
  return /^\d+$/.test(pid) ? read(`/proc/${pid}/stat`).split(") ")[1]?.split(" ")[19] : undefined;
}
