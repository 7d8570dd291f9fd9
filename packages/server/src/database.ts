import { join } from "node:path";
import type { Logger } from "pino";
import { LocalBus } from "./adapters/bus/local-bus.ts";
import { PostgresBus } from "./adapters/bus/postgres-bus.ts";
import { type OpenDatabase, openDatabase } from "./adapters/db/database.ts";
import { openPostgres } from "./adapters/db/postgres.ts";
import type { ServerOptions } from "./config/options.ts";
import type { Database } from "./ports/database.ts";
import type { ServerBus } from "./ports/server-bus.ts";

export type DatabaseChoice = Pick<ServerOptions, "dataDir" | "databaseFile" | "databaseUrl">;

/** PostgreSQL where `databaseUrl` says so, else a SQLite file. Rejects with `DatabaseOpenError`. */
export async function openServerDatabase(choice: DatabaseChoice, logger: Logger): Promise<OpenDatabase> {
  if (choice.databaseUrl !== undefined) return await openPostgres({ url: choice.databaseUrl, logger });
  return await openDatabase(choice.databaseFile ?? join(choice.dataDir, "server.sqlite"));
}

/** Between the servers of this database. */
export function openBus(
  { databaseUrl: url }: Pick<DatabaseChoice, "databaseUrl">,
  db: Database,
  logger: Logger,
): ServerBus & AsyncDisposable {
  return url === undefined ? new LocalBus({ logger }) : new PostgresBus({ url, db, logger });
}
