import { type Kysely, sql } from "kysely";

/** What is looked for by name or again and again, and had no index: the cost of a look follows what is open. */
export async function openRows(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // It would be preferred to the one over open saves, and nothing else asks for it.
    sql`drop index syncs_by_workspace`,
    sql`create index syncs_open on syncs (workspace_id) where state in ('running', 'committing')`,
    sql`create index sandboxes_by_provider on sandboxes (provider_id)`,
    sql`create index sandboxes_by_account on sandboxes (account_id, id) where state != 'ended'`,
    sql`create index sandboxes_unrevoked on sandboxes (updated_at) where state = 'ended' and revoked_at is null`,
    sql`create index processes_by_sandbox on processes (sandbox_id) where state != 'ended'`,
    sql`create index permissions_by_event on permissions (session_id, event_id)`,
    sql`create index permission_rules_by_workspace on permission_rules (workspace_id, id)`,
    sql`create index api_keys_by_account on api_keys (account_id, id)`,
    sql`create index workspaces_unpurged on workspaces (deleted_at) where deleted_at is not null and purged_at is null`,
  ];
  for (const statement of statements) await statement.execute(db);
}
