import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { LocalBus } from "./adapters/bus/local-bus.ts";
import { PostgresBus } from "./adapters/bus/postgres-bus.ts";
import { type OpenDatabase, openDatabase } from "./adapters/db/database.ts";
import { describeUrl, openPostgres } from "./adapters/db/postgres.ts";
import { PostgresUrl, type ServerOptions } from "./config/options.ts";
import { type Database, DatabaseOpenError } from "./ports/database.ts";
import type { ServerBus } from "./ports/server-bus.ts";

export type DatabaseChoice = Pick<ServerOptions, "dataDir" | "databaseFile" | "databaseUrl">;

/** PostgreSQL where `databaseUrl` says so, else a SQLite file. Rejects with `DatabaseOpenError`. */
export async function openServerDatabase(choice: DatabaseChoice, logger: Logger): Promise<OpenDatabase> {
  const { databaseUrl: url } = choice;
  if (url !== undefined) {
    if (PostgresUrl.safeParse(url).success) return await openPostgres({ url, logger });
    throw new DatabaseOpenError(
      "What was given as the database's address names no PostgreSQL database.",
      "Set DATABASE_URL as in postgresql://user:password@host:5432/database, or leave it out for a SQLite file.",
    );
  }
  refuseForgotten(choice);
  const opened = await openDatabase(choice.databaseFile ?? join(choice.dataDir, "server.sqlite"));
  if (opened.untidy !== undefined)
    logger.warn(
      { err: opened.untidy },
      "what was deleted earlier may still be in the file; the next start tries again",
    );
  return opened;
}

/** Notes where the data is: who forgets `databaseUrl` later is told, rather than shown an empty SQLite file. */
export function noteDatabase({ dataDir, databaseUrl }: DatabaseChoice): void {
  if (databaseUrl !== undefined)
    writeFileSync(join(dataDir, noteFile), `${describeUrl(databaseUrl)}\n`, { mode: 0o600 });
}

const noteFile = "postgresql.txt";

function refuseForgotten({ dataDir, databaseFile }: DatabaseChoice): void {
  const note = join(dataDir, noteFile);
  if (dataDir === "" || databaseFile !== undefined || !existsSync(note)) return;
  throw new DatabaseOpenError(
    `The data of ${dataDir} is in PostgreSQL at ${readFileSync(note, "utf8").trim()}, and no database was named.`,
    `Set DATABASE_URL as before; or remove ${note} to begin anew with a SQLite file.`,
  );
}

/** Between the servers of this database. */
export function openBus(
  { databaseUrl: url }: Pick<DatabaseChoice, "databaseUrl">,
  db: Database,
  logger: Logger,
): ServerBus & AsyncDisposable {
  return url === undefined ? new LocalBus({ logger }) : new PostgresBus({ url, db, logger });
}
