import { AppError, isId, type Session, type SessionEvent, type SessionStatus } from "@holdfast/protocol";
import { sql } from "kysely";
import type { Database, SessionStatus as StoredStatus } from "../../ports/database.ts";
import { decodeEither, decodeNumber, encodeCursor } from "../cursor.ts";
import type { Page, TimeRange } from "../paging.ts";
import { pendingWakeups, type WakeupRow } from "../wakeups/wakeup-rows.ts";
import type { SessionRow } from "./present.ts";

export interface ListSessions {
  limit: number;
  order: "asc" | "desc";
  page?: string;
  created?: TimeRange;
  statuses?: readonly SessionStatus[];
  agentId?: string;
  agentVersion?: number;
  includeArchived?: boolean;
}

export interface ListEvents {
  limit: number;
  order: "asc" | "desc";
  page?: string;
  created?: TimeRange;
  types?: readonly string[];
}

export function sessionRows(db: Database) {
  return db
    .selectFrom("sessions")
    .innerJoin("workspaces", "workspaces.id", "sessions.workspace_id")
    .selectAll("sessions")
    .select("workspaces.name as workspace_name")
    .select((eb) =>
      eb
        .selectFrom("permissions")
        .select((inner) => inner.fn.countAll().as("count"))
        .whereRef("permissions.session_id", "=", "sessions.id")
        .where("permissions.state", "=", "pending")
        .$asScalar()
        .$notNull()
        .as("open_questions"),
    );
}

/** Throws `session_not_found`, also for another account's. */
export async function sessionRow(db: Database, accountId: string, sessionId: string): Promise<SessionRow> {
  const row = isId("session", sessionId)
    ? await sessionRows(db)
        .where("sessions.id", "=", sessionId)
        .where("sessions.account_id", "=", accountId)
        .executeTakeFirst()
    : undefined;
  if (row === undefined) throw new AppError("session_not_found");
  return row;
}

/** A page in either direction. Its cursors hold the place, not the filters: those are said again. */
export async function listSessions(
  db: Database,
  accountId: string,
  options: ListSessions & { present: (row: SessionRow, wakeups: readonly WakeupRow[]) => Session },
): Promise<Page<Session> & { prev_page: string | null }> {
  const { limit, order, page } = options;
  const of = "sessions";
  const cursor = page === undefined ? undefined : decodeEither(page, { of, order });
  const back = cursor?.back === true;
  const walk = back ? (order === "asc" ? "desc" : "asc") : order;
  let query = filtered(db, accountId, options);
  if (cursor !== undefined) query = query.where("sessions.id", walk === "asc" ? ">" : "<", String(cursor.last));
  const found = await query
    .orderBy("sessions.id", walk)
    .limit(limit + 1)
    .execute();
  const more = found.length > limit;
  const rows = found.slice(0, limit);
  if (back) rows.reverse();
  const [first, last] = [rows.at(0)?.id, rows.at(-1)?.id];
  const wakeups = await pendingWakeups(
    db,
    rows.map(({ id }) => id),
  );
  // Where one came from there is a page; where one goes, if there was one row too many.
  const [hasNext, hasPrevious] = back ? [true, more] : [more, cursor !== undefined];
  return {
    data: rows.map((row) => options.present(row, wakeups)),
    next_page: hasNext && last !== undefined ? encodeCursor({ of, order, last }) : null,
    prev_page: hasPrevious && first !== undefined ? encodeCursor({ of, order, last: first, back: true }) : null,
  };
}

function filtered(db: Database, accountId: string, options: ListSessions) {
  const { created, statuses, agentId, agentVersion, includeArchived } = options;
  let query = sessionRows(db).where("sessions.account_id", "=", accountId);
  if (includeArchived !== true) query = query.where("sessions.archived_at", "is", null);
  if (created?.from !== undefined) query = query.where("sessions.created_at", ">=", created.from);
  if (created?.to !== undefined) query = query.where("sessions.created_at", "<=", created.to);
  if (agentId !== undefined) query = query.where("sessions.agent_id", "=", agentId);
  if (agentVersion !== undefined) query = query.where("sessions.agent_version", "=", agentVersion);
  if (statuses !== undefined && statuses.length > 0)
    query = query.where("sessions.status", "in", statuses as readonly StoredStatus[]);
  return query;
}

export async function listEvents(db: Database, sessionId: string, options: ListEvents): Promise<Page<SessionEvent>> {
  const { limit, order, page, types, created } = options;
  let query = db.selectFrom("events").where("session_id", "=", sessionId);
  if (types !== undefined && types.length > 0) query = query.where("type", "in", types);
  if (created?.from !== undefined) query = query.where("created_at", ">=", created.from);
  if (created?.to !== undefined) query = query.where("created_at", "<=", created.to);
  if (page !== undefined) {
    const last = decodeNumber(page, { of: sessionId, order });
    query = query.where("seq", order === "asc" ? ">" : "<", last);
  }
  // Their sizes first: a thousand events may be a kilobyte or a gigabyte.
  const sizes = await query
    .select(["seq", sql<number>`octet_length(event_json)`.as("bytes")])
    .orderBy("seq", order)
    .limit(limit + 1)
    .execute();
  const count = thatFit(sizes.slice(0, limit));
  const last = sizes[count - 1]?.seq;
  if (last === undefined) return { data: [], next_page: null };
  const rows = await query
    .select("event_json")
    .where("seq", order === "asc" ? "<=" : ">=", last)
    .orderBy("seq", order)
    .execute();
  return {
    data: rows.map((row) => JSON.parse(row.event_json) as SessionEvent),
    next_page: sizes.length > count ? encodeCursor({ of: sessionId, order, last }) : null,
  };
}

/** Those of them that are still there, in the order asked for. */
export async function eventsById(db: Database, sessionId: string, ids: readonly string[]): Promise<SessionEvent[]> {
  if (ids.length === 0) return [];
  const rows = await db
    .selectFrom("events")
    .select(["id", "event_json"])
    .where("id", "in", ids)
    .where("session_id", "=", sessionId)
    .execute();
  const found = new Map(rows.map((row) => [row.id, JSON.parse(row.event_json) as SessionEvent]));
  return ids.flatMap((id) => found.get(id) ?? []);
}

/** A page ends before it grows beyond this, whatever `limit` says; one event is always in it. */
const maxPageBytes = 2 * 1024 * 1024;

function thatFit(sizes: readonly { bytes: number }[]): number {
  let total = 0;
  const tooMany = sizes.findIndex(({ bytes }, index) => {
    total += Number(bytes);
    return index > 0 && total > maxPageBytes;
  });
  return tooMany === -1 ? sizes.length : tooMany;
}
