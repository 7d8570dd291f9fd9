import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS usage (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    account TEXT NOT NULL,
    workspace TEXT NOT NULL,
    sandbox TEXT,
    session TEXT,
    claude_session TEXT,
    model TEXT NOT NULL,
    mode TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS usage_session ON usage (session);
  CREATE INDEX IF NOT EXISTS usage_claude_session ON usage (claude_session);
  CREATE INDEX IF NOT EXISTS usage_account ON usage (account);
  CREATE TABLE IF NOT EXISTS revocation (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS revocation_at ON revocation (at_ms);
  CREATE TABLE IF NOT EXISTS usage_day (
    day TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    mode TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    PRIMARY KEY (account, day, model, mode)
  ) STRICT;
`;

/** Opens the gateway's database: usage and revocations, committed before an answer says so. */
export function openDatabase(dataDir: string): DatabaseSync {
  const db = new DatabaseSync(join(dataDir, "gateway.db"));
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;");
  db.exec(SCHEMA);
  return db;
}
