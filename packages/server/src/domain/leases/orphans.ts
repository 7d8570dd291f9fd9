import { type ExpressionBuilder, sql } from "kysely";
import type { Database, Schema } from "../../ports/database.ts";

/** No server that lives works on the workspace. */
export function isOrphan(eb: ExpressionBuilder<Schema, "workspaces">) {
  const owner = eb.selectFrom("servers").select("servers.id").whereRef("servers.id", "=", "workspaces.server_id");
  return eb.not(eb.exists(owner));
}

/** Workspaces that need a server and have none: a turn, a message, a question or a sandbox waits there. */
export async function orphansWithWork(db: Database): Promise<string[]> {
  // What is open is few and comes first; `crossJoin` keeps it so.
  const running = db.selectFrom("sessions").select("workspace_id").where("status", "=", "running");
  const queued = db
    .selectFrom("messages")
    .crossJoin("sessions")
    .whereRef("sessions.id", "=", "messages.session_id")
    .select("sessions.workspace_id")
    .where("messages.state", "!=", "done");
  const asking = db
    .selectFrom("permissions")
    .crossJoin("sessions")
    .whereRef("sessions.id", "=", "permissions.session_id")
    .select("sessions.workspace_id")
    .where("permissions.state", "in", ["pending", "answered"]);
  const living = db.selectFrom("sandboxes").select("workspace_id").where("state", "!=", "ended");
  const saving = db.selectFrom("syncs").select("workspace_id").where("state", "in", ["running", "committing"]);
  const open = running.union(queued).union(asking).union(living).union(saving);
  const rows = await db
    .selectFrom(open.as("open"))
    .crossJoin("workspaces")
    .where("workspaces.id", "=", sql.ref<string>("open.workspace_id"))
    .where(isOrphan)
    .select("workspaces.id as id")
    .execute();
  return rows.map(({ id }) => id);
}
