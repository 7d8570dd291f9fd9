import type { Database } from "../../ports/database.ts";

/** What waits in a session, the most urgent of it. */
export interface OpenSession {
  id: string;
  /** `message`: to be worked on. `turn`: one that Claude began by itself, or that asks. `process`: it lives, idle. */
  kind: "message" | "turn" | "process";
}

/**
 * Each begins with the rows that are open, which are few, and goes from there to their sessions: `crossJoin` keeps that
 * order where a database would think itself cleverer. From the other side it is every session ever made.
 */
const begin = {
  processes: (db: Database) =>
    db
      .selectFrom("processes")
      .crossJoin("sandboxes")
      .crossJoin("sessions")
      .whereRef("sandboxes.provider_id", "=", "processes.sandbox_id")
      .whereRef("sessions.id", "=", "processes.session_id")
      .where("processes.state", "!=", "ended")
      .where("sandboxes.state", "!=", "ended")
      .select(["sessions.id as id", "sessions.workspace_id as workspaceId"]),
  asking: (db: Database) =>
    db
      .selectFrom("permissions")
      .crossJoin("sessions")
      .whereRef("sessions.id", "=", "permissions.session_id")
      // As the index has it, so that it is used; then what is meant.
      .where("permissions.state", "in", ["pending", "answered"])
      .where("permissions.state", "=", "pending")
      .select(["sessions.id as id", "sessions.workspace_id as workspaceId"]),
  running: (db: Database) =>
    db
      .selectFrom("sessions")
      .where("sessions.status", "=", "running")
      .select(["sessions.id as id", "sessions.workspace_id as workspaceId"]),
  messages: (db: Database) =>
    db
      .selectFrom("messages")
      .crossJoin("sessions")
      .whereRef("sessions.id", "=", "messages.session_id")
      .where("messages.state", "!=", "done")
      .select(["sessions.id as id", "sessions.workspace_id as workspaceId"]),
};

/** Everything that goes on in these workspaces, for a server that has just come to them: there may be very many. */
export async function openSessions(db: Database, workspaceIds: ReadonlySet<string>): Promise<OpenSession[]> {
  const found = new Map<string, OpenSession["kind"]>();
  const note = async (kind: OpenSession["kind"], rows: Promise<{ id: string; workspaceId: string }[]>) => {
    for (const { id, workspaceId } of await rows) if (workspaceIds.has(workspaceId)) found.set(id, kind);
  };
  await note("process", begin.processes(db).execute());
  await note("turn", begin.asking(db).execute());
  await note("turn", begin.running(db).execute());
  await note("message", begin.messages(db).execute());
  return [...found].map(([id, kind]) => ({ id, kind }));
}

/** The same of one session; undefined when nothing goes on in it. A process that only lives does not count. */
export async function openSession(db: Database, sessionId: string): Promise<OpenSession | undefined> {
  const message = await begin.messages(db).where("messages.session_id", "=", sessionId).limit(1).executeTakeFirst();
  if (message !== undefined) return { id: sessionId, kind: "message" };
  const turn =
    (await begin.running(db).where("sessions.id", "=", sessionId).executeTakeFirst()) ??
    (await begin.asking(db).where("permissions.session_id", "=", sessionId).limit(1).executeTakeFirst());
  return turn && { id: sessionId, kind: "turn" };
}

/** Sessions of this server's workspaces where something waits that it may not have been told of. */
export async function waitingSessions(db: Database, serverId: string) {
  const messages = await begin
    .messages(db)
    .crossJoin("workspaces")
    .whereRef("workspaces.id", "=", "sessions.workspace_id")
    .where("workspaces.server_id", "=", serverId)
    .execute();
  const turns = await begin
    .running(db)
    .crossJoin("workspaces")
    .whereRef("workspaces.id", "=", "sessions.workspace_id")
    .where("workspaces.server_id", "=", serverId)
    .execute();
  const answers = await db
    .selectFrom("permissions")
    .crossJoin("processes")
    .crossJoin("sessions")
    .crossJoin("workspaces")
    .whereRef("processes.id", "=", "permissions.process_id")
    .whereRef("sessions.id", "=", "permissions.session_id")
    .whereRef("workspaces.id", "=", "sessions.workspace_id")
    .select("sessions.id as id")
    .where("permissions.state", "in", ["pending", "answered"])
    .where("permissions.state", "=", "answered")
    .where("processes.state", "!=", "ended")
    .where("workspaces.server_id", "=", serverId)
    .execute();
  const ids = (rows: { id: string }[]) => [...new Set(rows.map(({ id }) => id))];
  return { messages: ids(messages), turns: ids(turns), answers: ids(answers) };
}
