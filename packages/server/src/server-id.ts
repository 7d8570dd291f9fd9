import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import type { ServerIdNote } from "./domain/leases/membership.ts";

/** Beside the data: whoever starts on the same directory next follows this server, and need not wait for its death. */
export function serverIdNote(dataDir: string, logger: Logger): ServerIdNote {
  const file = join(dataDir, "server-id");
  return {
    read: () => {
      try {
        return readFileSync(file, "utf8").split("\n").filter(Boolean);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    },
    write: (ids) => {
      try {
        mkdirSync(dataDir, { recursive: true, mode: 0o700 });
        writeFileSync(`${file}.new`, ids.map((id) => `${id}\n`).join(""), { mode: 0o600 });
        renameSync(`${file}.new`, file);
      } catch (error) {
        logger.warn({ err: error }, "this server's id could not be noted; after a crash the next one starts late");
      }
    },
  };
}
