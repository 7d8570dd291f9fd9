import { chownSync, existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Kysely, sql } from "kysely";
import { Migrator } from "kysely/migration";
import { type Database, DatabaseOpenError, dropDeleted, type Schema } from "../../ports/database.ts";
import { sqliteDialect } from "./dialect.ts";
import { LiteralStates } from "./literal-states.ts";
import { migrations } from "./migrations.ts";

export interface OpenDatabase extends AsyncDisposable {
  db: Database;
  /** What was deleted by an older version may still be in the file: why it could not be rewritten this time. */
  untidy?: unknown;
}

/** Opens the file (made when missing, private) and brings its schema up to date. Safe beside a running server. */
export async function openDatabase(file: string): Promise<OpenDatabase> {
  const directory = dirname(file);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const fresh = !existsSync(file);
  const db = new Kysely<Schema>({ dialect: sqliteDialect(file), plugins: [new LiteralStates()] });
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
  const untidy = await rewriteOnce(db);
  return { db, ...(untidy === undefined ? {} : { untidy }), [Symbol.asyncDispose]: () => db.destroy() };
}

/** `PRAGMA user_version` of a file in which nothing is left of what was deleted before `secure_delete` was on. */
const rewrittenVersion = 1;

/** Gives why it was not possible: the disk is full, somebody else has the file open. The next start tries again. */
async function rewriteOnce(db: Database): Promise<unknown> {
  try {
    const { rows } = await sql<{ user_version: number }>`PRAGMA user_version`.execute(db);
    if ((rows[0]?.user_version ?? 0) >= rewrittenVersion) return undefined;
    await sql`VACUUM`.execute(db);
    await sql.raw(`PRAGMA user_version = ${rewrittenVersion}`).execute(db);
    await dropDeleted(db);
    return undefined;
  } catch (error) {
    return error;
  }
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
