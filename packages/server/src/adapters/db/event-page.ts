import type { SessionEvent } from "@holdfast/protocol";
import { sql } from "kysely";
import type { Database } from "../../ports/database.ts";

const pageEvents = 500;
/** A page ends before it grows beyond this, whatever the events are; one event is always in it. */
const pageBytes = 1024 * 1024;

/** The events after `after`, as many as are sensible at once. `more`: ask again. */
export async function eventPage(
  db: Database,
  sessionId: string,
  after: number,
): Promise<{ events: SessionEvent[]; more: boolean }> {
  const sizes = await db
    .selectFrom("events")
    .select(["seq", sql<number>`octet_length(event_json)`.as("bytes")])
    .where("session_id", "=", sessionId)
    .where("seq", ">", after)
    .orderBy("seq", "asc")
    .limit(pageEvents)
    .execute();
  const last = lastThatFits(sizes);
  if (last === undefined) return { events: [], more: false };
  const rows = await db
    .selectFrom("events")
    .select("event_json")
    .where("session_id", "=", sessionId)
    .where("seq", ">", after)
    .where("seq", "<=", last)
    .orderBy("seq", "asc")
    .execute();
  const events = rows.map((row) => JSON.parse(row.event_json) as SessionEvent);
  return { events, more: rows.length > 0 && (sizes.length === pageEvents || rows.length < sizes.length) };
}

function lastThatFits(sizes: readonly { seq: number; bytes: number }[]): number | undefined {
  let total = 0;
  let last: number | undefined;
  for (const { seq, bytes } of sizes) {
    total += Number(bytes);
    if (last !== undefined && total > pageBytes) break;
    last = seq;
  }
  return last;
}
