import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";

export interface SettleDeps {
  db: Database;
  clock: Clock;
  logger: Logger;
  /** A sandbox is known to have ended. */
  onEnded: (providerId: string) => void;
  /** Sessions whose turn or question was left without a process. */
  onOrphaned: (sessionIds: string[], workspaceId: string) => void;
}

/** What follows from a sandbox that is gone: its row, its processes, the turns that they worked on. */
export async function settleRow(
  deps: SettleDeps,
  row: { id: string; provider_id: string | null; workspace_id: string },
): Promise<void> {
  const { db, clock, logger } = deps;
  const { provider_id: providerId } = row;
  const sessions = await db.transaction().execute(async (tx) => {
    const ended = await tx
      .updateTable("sandboxes")
      .set({ state: "ended", updated_at: clock.now() })
      .where("id", "=", row.id)
      .where("state", "!=", "ended")
      // Not one that somebody has found in the meantime.
      .where("provider_id", providerId === null ? "is" : "=", providerId)
      .executeTakeFirst();
    if (Number(ended.numUpdatedRows) === 0 || providerId === null) return [];
    const processes = await tx
      .updateTable("processes")
      .set({ state: "ended" })
      .where("sandbox_id", "=", providerId)
      .where("state", "!=", "ended")
      .returning("session_id")
      .execute();
    return [...new Set(processes.map(({ session_id: id }) => id))];
  });
  logger.info(
    { row: row.id, sandbox: providerId, workspace: row.workspace_id, sessions },
    "a sandbox is gone: settled",
  );
  if (providerId !== null) deps.onEnded(providerId);
  if (sessions.length > 0) deps.onOrphaned(await waiting(db, sessions), row.workspace_id);
}

/** Those of the sessions in which somebody waits for something. */
async function waiting(db: Database, sessionIds: string[]): Promise<string[]> {
  const running = await db
    .selectFrom("sessions")
    .select("id")
    .where("id", "in", sessionIds)
    .where("status", "=", "running")
    .execute();
  const asking = await db
    .selectFrom("permissions")
    .select("session_id as id")
    .where("session_id", "in", sessionIds)
    .where("state", "=", "pending")
    .execute();
  return [...new Set([...running, ...asking].map(({ id }) => id))];
}
