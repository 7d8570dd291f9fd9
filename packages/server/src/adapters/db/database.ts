import { chownSync, existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Kysely } from "kysely";
import { Migrator } from "kysely/migration";
import { type Database, DatabaseOpenError, type Schema } from "../../ports/database.ts";
import { sqliteDialect } from "./dialect.ts";
import { migrations } from "./migrations.ts";

export interface OpenDatabase extends AsyncDisposable {
  db: Database;
}

/** Opens the file (made when missing, private) and brings its schema up to date. Safe beside a running server. */
export async function openDatabase(file: string): Promise<OpenDatabase> {
  const directory = dirname(file);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const fresh = !existsSync(file);
  const db = new Kysely<Schema>({ dialect: sqliteDialect(file) });
  try {
    await migrate(db, "blob");
  } catch (error) {
    await db.destroy();
    throw new DatabaseOpenError(
      `The database ${file} cannot be opened: ${error instanceof Error ? error.message : error}`,
      "Check that the data directory can be written, and that no newer version of Holdfast has used it.",
      { cause: error },
    );
  }
  if (fresh) giveToOwnerOf(directory, file);
  return { db, [Symbol.asyncDispose]: () => db.destroy() };
}

/** Brings the schema up to date. `binary` is the database's type for bytes. */
export async function migrate(db: Database, binary: "blob" | "bytea"): Promise<void> {
  const provider = { getMigrations: async () => migrations(binary) };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  if (error !== undefined) throw error;
}

/** A root shell (`holdfast account add`) may be the first to open it; the server then runs as another user. */
function giveToOwnerOf(directory: string, file: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(directory);
  for (const path of [file, `${file}-wal`, `${file}-shm`]) if (existsSync(path)) chownSync(path, uid, gid);
}
