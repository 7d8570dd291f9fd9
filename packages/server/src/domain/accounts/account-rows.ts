import { type Database, dropDeleted, locked } from "../../ports/database.ts";
import { deletedName, workspaceLabel } from "../workspaces/label.ts";

export interface DeletedAccount {
  id: string;
  /** As its owner knew it. */
  name: string;
}

/** From here on its keys and logins count no more, and its name is free. Undefined: there is no such account. */
export async function markDeleted(
  db: Database,
  id: string,
  { nowMs, check }: { nowMs: number; check: (name: string) => void },
): Promise<DeletedAccount | undefined> {
  return await db.transaction().execute(async (tx) => {
    const row = await tx.selectFrom("accounts").selectAll().where("id", "=", id).$call(locked(tx)).executeTakeFirst();
    if (row === undefined) return undefined;
    if (row.deleted_at !== null) return { id, name: workspaceLabel(row.name) };
    check(row.name);
    await tx
      .updateTable("accounts")
      .set({ deleted_at: nowMs, name: deletedName(row.name, id) })
      .where("id", "=", id)
      .execute();
    return { id, name: row.name };
  });
}

/** Those that are marked and have not gone yet. */
export async function markedAccounts(db: Database): Promise<DeletedAccount[]> {
  const rows = await db.selectFrom("accounts").select(["id", "name"]).where("deleted_at", ">", 0).execute();
  return rows.map(({ id, name }) => ({ id, name: workspaceLabel(name) }));
}

/** What needs nothing but the database. Sessions are gone already. */
export async function removeBelongings(db: Database, accountId: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await tx
      .deleteFrom("agent_versions")
      .where("agent_id", "in", tx.selectFrom("agents").select("id").where("account_id", "=", accountId))
      .execute();
    const tables = ["agents", "environments", "permission_rules", "idempotency", "syncs"] as const;
    for (const table of tables) await tx.deleteFrom(table).where("account_id", "=", accountId).execute();
  });
  await dropDeleted(db);
}

/** The last step, when sandboxes, volumes and tokens are gone: what named them, the keys, and the account itself. */
export async function removeAccount(db: Database, accountId: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const workspaces = await tx.selectFrom("workspaces").select("id").where("account_id", "=", accountId).execute();
    for (const { id } of workspaces) {
      await tx.deleteFrom("erasures").where("workspace_id", "=", id).execute();
      await tx.deleteFrom("sandboxes").where("workspace_id", "=", id).execute();
    }
    await tx.deleteFrom("strays").where("account_id", "=", accountId).execute();
    for (const table of ["workspaces", "logins", "api_keys"] as const)
      await tx.deleteFrom(table).where("account_id", "=", accountId).execute();
    await tx.deleteFrom("accounts").where("id", "=", accountId).execute();
  });
  await dropDeleted(db);
}
