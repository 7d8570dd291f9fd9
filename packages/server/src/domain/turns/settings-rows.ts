import type { Database, Tx } from "../../ports/database.ts";
import type { Settings, ToldSettings } from "../sessions/settings.ts";

export interface SessionSettingsRow extends Settings {
  /** Of the event with which a client changed them last; 0: none did. */
  settings_seq: number;
  /** The same of the permission mode. */
  mode_seq: number;
}

export async function sessionSettings(db: Database, sessionId: string): Promise<SessionSettingsRow> {
  return await db
    .selectFrom("sessions")
    .select(["permission_mode", "model", "effort", "settings_seq", "mode_seq"])
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow();
}

/** Null: it was started by an older server, which did not note it. */
export async function processSettings(db: Database, processId: string): Promise<ToldSettings | null> {
  const row = await db
    .selectFrom("processes")
    .select("settings_json")
    .where("id", "=", processId)
    .executeTakeFirstOrThrow();
  return row.settings_json === null ? null : (JSON.parse(row.settings_json) as ToldSettings);
}

export async function storeTold(tx: Tx, processId: string, told: ToldSettings): Promise<void> {
  await tx
    .updateTable("processes")
    .set({ settings_json: JSON.stringify(told) })
    .where("id", "=", processId)
    .execute();
}
