import type { Database } from "../../ports/database.ts";

/** What waits in a session, the most urgent of it. */
export interface OpenSession {
  id: string;
  /** `message`: to be worked on. `turn`: one that Claude began by itself, or that asks. `process`: it lives, idle. */
  kind: "message" | "turn" | "process";
}

/** Everything that goes on in these workspaces, for a server that has just come to them. */
export async function openSessions(db: Database, workspaceIds: readonly string[]): Promise<OpenSession[]> {
  const of = () =>
    db.selectFrom("sessions").select("sessions.id as id").where("sessions.workspace_id", "in", workspaceIds);
  const processes = of()
    .innerJoin("processes", "processes.session_id", "sessions.id")
    .innerJoin("sandboxes", "sandboxes.provider_id", "processes.sandbox_id")
    .where("processes.state", "!=", "ended")
    .where("sandboxes.state", "!=", "ended");
  const asking = of()
    .innerJoin("permissions", "permissions.session_id", "sessions.id")
    .where("permissions.state", "=", "pending");
  const messages = of()
    .innerJoin("messages", "messages.session_id", "sessions.id")
    .where("messages.state", "!=", "done");
  const found = new Map<string, OpenSession["kind"]>();
  const note = async (kind: OpenSession["kind"], rows: Promise<{ id: string }[]>) => {
    for (const { id } of await rows) found.set(id, kind);
  };
  await note("process", processes.execute());
  await note("turn", asking.execute());
  await note("turn", of().where("sessions.status", "=", "running").execute());
  await note("message", messages.execute());
  return [...found].map(([id, kind]) => ({ id, kind }));
}

/** Sessions of this server's workspaces where something waits that it may not have been told of. */
export async function waitingSessions(db: Database, serverId: string) {
  const messages = await db
    .selectFrom("messages")
    .innerJoin("sessions", "sessions.id", "messages.session_id")
    .innerJoin("workspaces", "workspaces.id", "sessions.workspace_id")
    .select("sessions.id as id")
    .distinct()
    .where("messages.state", "!=", "done")
    .where("workspaces.server_id", "=", serverId)
    .execute();
  const turns = await db
    .selectFrom("sessions")
    .innerJoin("workspaces", "workspaces.id", "sessions.workspace_id")
    .select("sessions.id as id")
    .where("sessions.status", "=", "running")
    .where("workspaces.server_id", "=", serverId)
    .execute();
  const answers = await db
    .selectFrom("permissions")
    .innerJoin("processes", "processes.id", "permissions.process_id")
    .innerJoin("sessions", "sessions.id", "permissions.session_id")
    .innerJoin("workspaces", "workspaces.id", "sessions.workspace_id")
    .select("sessions.id as id")
    .distinct()
    .where("permissions.state", "=", "answered")
    .where("processes.state", "!=", "ended")
    .where("workspaces.server_id", "=", serverId)
    .execute();
  const ids = (rows: { id: string }[]) => rows.map(({ id }) => id);
  return { messages: ids(messages), turns: ids(turns), answers: ids(answers) };
}
