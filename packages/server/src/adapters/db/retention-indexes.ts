import { type Kysely, sql } from "kysely";

/** What goes by its age is found without reading what stays. */
export async function retentionIndexes(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // By the creation: an index by the end would be preferred to the one over what is not revoked.
    sql`create index sandboxes_ended on sandboxes (created_at) where state = 'ended'`,
    sql`create index workspaces_purged on workspaces (purged_at) where purged_at is not null`,
    sql`create index api_keys_revoked on api_keys (revoked_at) where revoked_at is not null`,
    sql`create index permission_rules_deleted on permission_rules (deleted_at) where deleted_at is not null`,
    sql`create index syncs_over on syncs (created_at) where state in ('done', 'warning', 'failed')`,
  ];
  for (const statement of statements) await statement.execute(db);
}
