import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const schema = [
  `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
   CREATE TABLE apps (id TEXT PRIMARY KEY, name TEXT UNIQUE, created_at REAL NOT NULL) STRICT;
   CREATE TABLE secrets (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, sealed BLOB NOT NULL, created_at REAL NOT NULL) STRICT;
   CREATE TABLE volumes (id TEXT PRIMARY KEY, name TEXT UNIQUE, version INTEGER NOT NULL, created_at REAL NOT NULL,
     heartbeat_at REAL) STRICT;
   CREATE TABLE images (id TEXT PRIMARY KEY, recipe TEXT NOT NULL, status TEXT NOT NULL, built TEXT, error TEXT,
     request BLOB NOT NULL, created_at REAL NOT NULL) STRICT;
   CREATE INDEX images_by_recipe ON images (recipe, created_at);
   CREATE TABLE id_ranges (owner TEXT PRIMARY KEY, base INTEGER NOT NULL UNIQUE) STRICT;
   CREATE TABLE sandboxes (id TEXT PRIMARY KEY, task_id TEXT NOT NULL UNIQUE, app_id TEXT NOT NULL, name TEXT,
     status TEXT NOT NULL, spec TEXT NOT NULL, sealed_env BLOB NOT NULL, tags TEXT NOT NULL, result TEXT,
     created_at REAL NOT NULL UNIQUE, started_at REAL, finished_at REAL, deadline_at REAL NOT NULL,
     idempotency_key TEXT UNIQUE, output_kept INTEGER NOT NULL DEFAULT 1) STRICT;
   CREATE UNIQUE INDEX running_names ON sandboxes (app_id, name) WHERE name IS NOT NULL AND status <> 'finished';
   CREATE INDEX sandboxes_by_status ON sandboxes (status, created_at);
   CREATE TABLE execs (sandbox_id TEXT NOT NULL, exec_id TEXT NOT NULL, PRIMARY KEY (sandbox_id, exec_id)) STRICT;`,
  `ALTER TABLE volumes ADD COLUMN owner TEXT;
   CREATE INDEX volumes_by_owner ON volumes (owner) WHERE owner IS NOT NULL;`,
];

/** Another engine holds the data directory. */
export class DataDirInUseError extends Error {
  override name = "DataDirInUseError";
}

/**
 * Opens `dataDir/state/engine.db`, durable (WAL, synchronous=FULL) and exclusive: the lock that SQLite holds until this
 * connection closes or this process dies keeps a second engine out.
 */
export function openDatabase(dataDir: string): DatabaseSync {
  const dir = join(dataDir, "state");
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  chmodSync(dir, 0o700);
  const file = join(dir, "engine.db");
  const database = new DatabaseSync(file, { timeout: 500 });
  try {
    database.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;",
    );
    // The exclusive lock is taken by the first write and then kept.
    database.exec("BEGIN IMMEDIATE; COMMIT;");
    migrate(database);
  } catch (error) {
    database.close();
    if (error instanceof Error && /database is locked/.test(error.message)) {
      throw new DataDirInUseError(`another engine uses ${dataDir}; stop it or choose another data directory`, {
        cause: error,
      });
    }
    throw error;
  }
  chmodSync(file, 0o600);
  return database;
}

function migrate(database: DatabaseSync): void {
  const row = database.prepare("PRAGMA user_version").get();
  const version = Number(row?.user_version ?? 0);
  if (version > schema.length) {
    throw new Error(
      `the engine's state has version ${version}, this engine knows ${schema.length}: use a newer engine`,
    );
  }
  for (const [index, statements] of schema.slice(version).entries()) {
    database.exec(`BEGIN; ${statements} PRAGMA user_version = ${version + index + 1}; COMMIT;`);
  }
}
