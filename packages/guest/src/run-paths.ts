import { join } from "node:path";
import { guestSocketPath } from "./frames.ts";

/** Where the guest keeps its own things: root's, mode 0700, outside every volume. */
export const defaultRunDir = guestSocketPath.slice(0, guestSocketPath.lastIndexOf("/"));

export interface RunPaths {
  readonly runDir: string;
  readonly socket: string;
  readonly spool: string;
  readonly fences: string;
  readonly terminals: string;
  readonly permissions: string;
  readonly lockName: string;
  readonly log: string;
}

export function runPaths(runDir: string): RunPaths {
  return {
    runDir,
    socket: join(runDir, guestSocketPath.slice(defaultRunDir.length + 1)),
    spool: join(runDir, "spool"),
    fences: join(runDir, "fences"),
    terminals: join(runDir, "terminals"),
    permissions: join(runDir, "permissions"),
    lockName: join(runDir, "lock-name"),
    log: join(runDir, "guest.log"),
  };
}

/** Ids become file names. */
export function isSafeName(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9_-]{1,120}$/.test(value);
}
