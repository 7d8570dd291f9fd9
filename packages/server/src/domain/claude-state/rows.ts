import type { StateQuestion } from "@holdfast/claude";
import type { Database, Tx } from "../../ports/database.ts";
import { encodeText } from "../text.ts";

export interface KnownState {
  answer: object;
  /** Milliseconds since 1970. */
  asOfMs: number;
}

/** Of one session and name: only `files` has more than one. */
const mostQueries = 20;

/** In the place of what was known before. */
export async function storeState(
  tx: Tx,
  { sessionId, name, query }: StateQuestion & { sessionId: string },
  { json, nowMs }: { json: string; nowMs: number },
): Promise<void> {
  const row = { session_id: sessionId, name, query: encodeText(query), answer_json: json, as_of: nowMs };
  await tx
    .insertInto("claude_state")
    .values(row)
    .onConflict((conflict) =>
      conflict.columns(["session_id", "name", "query"]).doUpdateSet({ answer_json: json, as_of: nowMs }),
    )
    .execute();
  const newest = tx
    .selectFrom("claude_state")
    .select("query")
    .where("session_id", "=", sessionId)
    .where("name", "=", name)
    .orderBy("as_of", "desc")
    .orderBy("query")
    .limit(mostQueries);
  await tx
    .deleteFrom("claude_state")
    .where("session_id", "=", sessionId)
    .where("name", "=", name)
    .where("query", "!=", row.query)
    .where("query", "not in", newest)
    .execute();
}

/** Undefined: it was never said. */
export async function knownState(
  db: Database,
  { sessionId, name, query }: StateQuestion & { sessionId: string },
): Promise<KnownState | undefined> {
  const row = await db
    .selectFrom("claude_state")
    .select(["answer_json", "as_of"])
    .where("session_id", "=", sessionId)
    .where("name", "=", name)
    .where("query", "=", encodeText(query))
    .executeTakeFirst();
  return row && { answer: JSON.parse(row.answer_json) as object, asOfMs: Number(row.as_of) };
}

/** Whether a process of the session may live. */
export async function hasProcess(db: Database, sessionId: string): Promise<boolean> {
  const row = await db
    .selectFrom("processes")
    .innerJoin("sandboxes", "sandboxes.provider_id", "processes.sandbox_id")
    .select("processes.id")
    .where("processes.session_id", "=", sessionId)
    .where("processes.state", "!=", "ended")
    .where("sandboxes.state", "!=", "ended")
    .executeTakeFirst();
  return row !== undefined;
}
