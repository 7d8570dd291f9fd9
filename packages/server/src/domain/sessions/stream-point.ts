import type { StreamVerdict } from "@holdfast/protocol";
import type { Database } from "../../ports/database.ts";
import { sessionRow } from "./lists.ts";

/**
 * Where a stream begins: after `after`. With a cursor right behind it; `gap` when that cannot be, because the cursor is
 * not of this log (an older copy of the database was put back) or events behind it are gone. Without one, and after a
 * gap: at the oldest message that is not done, else at the last one.
 */
export async function streamPoint(
  db: Database,
  { accountId, sessionId, cursor }: { accountId: string; sessionId: string; cursor: number | undefined },
): Promise<StreamVerdict> {
  const { last_seq } = await sessionRow(db, accountId, sessionId);
  if (cursor !== undefined && (await leadsOn(db, sessionId, cursor, last_seq)))
    return { verdict: "ok", resumed: true, after: cursor, last_seq };
  const after = await replayFrom(db, sessionId);
  return { verdict: cursor === undefined ? "ok" : "gap", resumed: false, after, last_seq };
}

async function leadsOn(db: Database, sessionId: string, cursor: number, lastSeq: number): Promise<boolean> {
  if (cursor >= lastSeq) return cursor === lastSeq;
  const next = await db
    .selectFrom("events")
    .select("seq")
    .where("session_id", "=", sessionId)
    .where("seq", ">", cursor)
    .orderBy("seq", "asc")
    .limit(1)
    .executeTakeFirst();
  return next?.seq === cursor + 1;
}

async function replayFrom(db: Database, sessionId: string): Promise<number> {
  const open = await db
    .selectFrom("messages")
    .innerJoin("events", "events.id", "messages.event_id")
    .select("events.seq as seq")
    .where("messages.session_id", "=", sessionId)
    .where("messages.state", "!=", "done")
    .orderBy("events.seq", "asc")
    .limit(1)
    .executeTakeFirst();
  const newest = db
    .selectFrom("events")
    .select("seq")
    .where("session_id", "=", sessionId)
    .where("type", "=", "user.message")
    .orderBy("seq", "desc")
    .limit(1);
  const from = open ?? (await newest.executeTakeFirst());
  return from === undefined ? 0 : from.seq - 1;
}
