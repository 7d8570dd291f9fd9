import { Kysely, PostgresDialect } from "kysely";
import type { Logger } from "pino";
import { DatabaseAwayError, DatabaseOpenError, type Schema } from "../../ports/database.ts";
import { migrate, type OpenDatabase } from "./database.ts";
import { LiteralStates } from "./literal-states.ts";
import { PatientPool } from "./postgres-pool.ts";

/** Connects and brings the schema up to date; of several servers that do so at once, one does it. */
export async function openPostgres({ url, logger }: { url: string; logger: Logger }): Promise<OpenDatabase> {
  const open = (unlimited: boolean) =>
    new Kysely<Schema>({
      dialect: new PostgresDialect({ pool: new PatientPool({ url, logger, unlimited }) }),
      plugins: [new LiteralStates()],
    });
  const first = open(true);
  try {
    await migrate(first, "bytea");
  } catch (error) {
    throw openError(url, error);
  } finally {
    await first.destroy();
  }
  const db = open(false);
  return { db, [Symbol.asyncDispose]: () => db.destroy() };
}

/** Where it is, without the password. */
export function describeUrl(url: string): string {
  const { username, hostname, port, pathname, searchParams } = new URL(url);
  const host = hostname === "" ? (searchParams.get("host") ?? "localhost") : hostname;
  const user = username === "" ? "" : `${decodeURIComponent(username)}@`;
  return `${user}${host}${port === "" ? "" : `:${port}`}${pathname}`;
}

const remedies: Record<string, string> = {
  "28P01": "Correct user and password in DATABASE_URL.",
  "28000": "Let this user in (pg_hba.conf), or correct DATABASE_URL.",
  "3D000": "Create the database (createdb), or correct its name in DATABASE_URL.",
  "42501": "Give this user the right to create tables in the database (it is best its owner).",
};

function openError(url: string, error: unknown): DatabaseOpenError {
  const cause = error instanceof DatabaseAwayError ? error.cause : error;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const words = cause instanceof Error ? cause.message || code : String(cause);
  const away = error instanceof DatabaseAwayError;
  return new DatabaseOpenError(
    `PostgreSQL at ${describeUrl(url)} cannot be ${away ? "reached" : "used"}: ${words}`,
    remedies[code] ??
      (away
        ? "Start PostgreSQL, or correct host and port in DATABASE_URL; without DATABASE_URL a SQLite file is used."
        : "Look at PostgreSQL's log, and check that the database was made for this version of Holdfast or is empty."),
    { cause: error },
  );
}
