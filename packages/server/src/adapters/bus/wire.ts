import { sql } from "kysely";
import type { Database } from "../../ports/database.ts";

/** All topics go over one channel: listening to another session costs the database nothing. */
export const channel = "holdfast";

/** Within a transaction it is heard if and when that is committed. */
export async function notify(db: Database, topic: string, payload: string): Promise<void> {
  if (/\s/.test(topic)) throw new Error(`a topic has no spaces: ${topic}`);
  await sql`select pg_notify(${channel}, ${`${topic} ${payload}`})`.execute(db);
}
