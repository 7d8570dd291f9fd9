import type { ExpressionBuilder } from "kysely";
import type { Database, Schema } from "../../ports/database.ts";

/** No server that lives works on the workspace. */
export function isOrphan(eb: ExpressionBuilder<Schema, "workspaces">) {
  const owner = eb.selectFrom("servers").select("servers.id").whereRef("servers.id", "=", "workspaces.server_id");
  return eb.not(eb.exists(owner));
}

/** Workspaces that need a server and have none: a turn, a message, a question or a sandbox waits there. */
export async function orphansWithWork(db: Database): Promise<string[]> {
  const running = db.selectFrom("sessions").select("workspace_id").where("status", "=", "running");
  const queued = db
    .selectFrom("messages")
    .innerJoin("sessions", "sessions.id", "messages.session_id")
    .select("sessions.workspace_id")
    .where("messages.state", "!=", "done");
  const asking = db
    .selectFrom("permissions")
    .innerJoin("sessions", "sessions.id", "permissions.session_id")
    .select("sessions.workspace_id")
    .where("permissions.state", "in", ["pending", "answered"]);
  const living = db.selectFrom("sandboxes").select("workspace_id").where("state", "!=", "ended");
  const saving = db.selectFrom("syncs").select("workspace_id").where("state", "in", ["running", "committing"]);
  const rows = await db
    .selectFrom("workspaces")
    .select("id")
    .where(isOrphan)
    .where((eb) => eb("id", "in", running.union(queued).union(asking).union(living).union(saving) as typeof running))
    .execute();
  return rows.map(({ id }) => id);
}
