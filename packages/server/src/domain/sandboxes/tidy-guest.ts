import type { GuestProcess } from "@holdfast/guest";
import type { Logger } from "pino";
import type { Database } from "../../ports/database.ts";
import type { GuestLink } from "./guest-link.ts";

const endMs = 15_000;

/**
 * What the guest still has although it is over: spools of processes whose end is committed, when the server that
 * committed it could not say so any more; and processes that nobody speaks to, because their start was given up or the
 * database is an older one. Under the session's own generation: who has lost it is refused.
 */
export async function tidyGuest(db: Database, link: GuestLink, logger: Logger): Promise<void> {
  if (link.processes.length === 0) return;
  const ids = link.processes.map(({ processId }) => processId);
  const rows = await db
    .selectFrom("processes")
    .innerJoin("sessions", "sessions.id", "processes.session_id")
    .select(["processes.id", "processes.state", "sessions.generation"])
    .where("processes.id", "in", ids)
    .execute();
  const known = new Map(rows.map((row) => [row.id, row]));
  for (const hosted of link.processes) {
    const row = known.get(hosted.processId);
    if (row !== undefined && row.state !== "ended") continue;
    const generation = Math.max(hosted.generation, row?.generation ?? 0);
    const { processId } = hosted;
    if (isRunning(hosted)) {
      logger.warn({ process: processId, session: hosted.sessionId }, "nobody speaks to this process: ending it");
      const signal = AbortSignal.timeout(endMs);
      await link.call({ type: "signal", processId, generation, signal: "SIGKILL", group: true }, { signal });
    } else link.tell({ type: "remove", processId, generation });
  }
}

function isRunning({ exit }: GuestProcess): boolean {
  return exit === null;
}
