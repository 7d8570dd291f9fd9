import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../command.ts";

export interface DataDirLock {
  release(): void;
}

/** One running system per data directory. A lock whose holder is dead is taken over. Throws CliError. */
export function lockDataDir(dataDir: string): DataDirLock {
  const path = join(dataDir, "run", "up.lock");
  for (;;) {
    try {
      const file = openSync(path, "wx", 0o600);
      writeSync(file, `${process.pid} ${startTime(process.pid) ?? ""}`);
      closeSync(file);
      return { release: () => rmSync(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const holder = readHolder(path);
      if (holder !== undefined)
        throw new CliError(
          `${dataDir} is in use`,
          `A Holdfast with process id ${holder} is running on it.`,
          "Use that one, end it, or choose another --data-dir and --port.",
          { cause: error },
        );
      rmSync(path, { force: true });
    }
  }
}

/** The pid in the lock, if that very process still lives (pids are used again; start times are not). */
function readHolder(path: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    // Released in between.
    return undefined;
  }
  const [pid, started] = text.split(" ");
  return startTime(Number(pid)) === started && started !== "" ? Number(pid) : undefined;
}

/** Field 22 of /proc/PID/stat; undefined when there is no such process, or when it has ended. */
export function startTime(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    // No such process.
    return undefined;
  }
}
