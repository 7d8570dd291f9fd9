import { DatabaseSync } from "node:sqlite";

/**
 * Fills a server's database with what was said and done long ago: sessions with their events, messages, processes,
 * questions and sandboxes, none of it open. The server must not be running. `workspaces` of them are spread evenly.
 */
export function fillDatabase(file: string, { sessions, workspaces }: { sessions: number; workspaces: number }): void {
  using db = new DatabaseSync(file);
  const count = (table: string, n: number) =>
    `with recursive c(n) as (values(1) union all select n + 1 from c where n < ${n}) insert into ${table} `;
  const id = (prefix: string, n = "n") => `'${prefix}_' || substr('00000000000000000000000000' || ${n}, -26)`;
  const workspace = id("wsp", `(n % ${workspaces} + 1)`);
  const statements = [
    "pragma foreign_keys = off; pragma synchronous = off; begin",
    "insert or ignore into accounts (id, name, created_at) values ('acc_many', 'many', 1)",
    `${count("workspaces (id, account_id, name, files_volume, state_volume, created_at)", workspaces)}
     select ${id("wsp")}, 'acc_many', 'w' || n, 'f' || n, 's' || n, 1 from c`,
    `${count("sessions (id, account_id, workspace_id, status, metadata_json, generation, last_seq, cost_usd, usage_json, claude_session_id, claude_started, created_at, updated_at)", sessions)}
     select ${id("sesn")}, 'acc_many', ${workspace}, 'idle', '{}', 1, 5, 0, '{}', 'c' || n, 1, n, n from c`,
    `${count("events (session_id, seq, id, type, event_json, created_at)", sessions * 5)}
     select ${id("sesn", `((n - 1) / 5 + 1)`)}, (n - 1) % 5 + 1, ${id("sevt")}, 'agent.message', '{}', n from c`,
    `${count("messages (id, session_id, event_id, content_json, state, created_at)", sessions * 2)}
     select 'm' || n, ${id("sesn", "((n - 1) / 2 + 1)")}, ${id("sevt", "((n - 1) / 2 * 5 + 1 + n % 2)")}, '[]', 'done', n from c`,
    `${count("sandboxes (id, workspace_id, account_id, state, provider_id, tags_json, created_at, updated_at, revoked_at)", sessions)}
     select ${id("sbx")}, ${workspace}, 'acc_many', 'ended', 'sb-' || n, '{}', n, n, n from c`,
    `${count("processes (id, session_id, sandbox_id, generation, stdout_offset, stderr_offset, state, created_at)", sessions)}
     select ${id("prc")}, ${id("sesn")}, 'sb-' || n, 1, 0, 0, 'ended', n from c`,
    `${count("permissions (session_id, process_id, request_id, event_id, input_json, state, created_at)", sessions)}
     select ${id("sesn")}, ${id("prc")}, 'r' || n, ${id("sevt", "(n * 5)")}, '{}', 'closed', n from c`,
    `${count("syncs (id, account_id, workspace_id, session_id, timestamp, state, created_at)", sessions)}
     select 'syn' || n, 'acc_many', ${workspace}, ${id("sesn")}, n, 'done', n from c`,
    `${count("permission_rules (id, account_id, workspace_id, rule, session_id, created_by, created_at)", workspaces)}
     select 'rule' || n, 'acc_many', ${id("wsp")}, 'Bash(x)', 's', 'k', n from c`,
    `${count("api_keys (id, account_id, hash, last4, created_at)", 2_000)} select 'key' || n, 'acc_many', 'h' || n, 'xxxx', n from c`,
    `${count("agents (id, account_id, version, created_at)", 2_000)} select 'agent' || n, 'acc_many', 3, n from c`,
    `${count("agent_versions (agent_id, version, definition_json, metadata_json, created_at)", 6_000)}
     select 'agent' || ((n - 1) / 3 + 1), n % 3 + 1, '{}', '{}', n from c`,
    `${count("environments (id, account_id, name, config_json, commands_json, metadata_json, created_at, updated_at)", 2_000)}
     select 'env' || n, 'acc_many', 'e', '{}', '[]', '{}', n, n from c`,
    `${count("raw_batches (session_id, process_id, offset, lines, bytes)", sessions)}
     select ${id("sesn")}, ${id("prc")}, n, 1, x'00' from c`,
    `${count("blobs (session_id, hash, size, bytes)", sessions)} select ${id("sesn")}, 'h' || n, 1, x'00' from c`,
    `${count("logins (id, account_id, created_at, expires_at)", 2_000)} select 'l' || n, 'acc_many', n, n + 4000000000000 from c`,
    `${count("used_login_links (nonce, expires_at)", 2_000)} select 'n' || n, n + 4000000000000 from c`,
    "commit",
  ];
  for (const statement of statements) db.exec(statement);
}
