import { sleep } from "@holdfast/std";
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from "kysely";
import { type ClientConfig, Pool, type PoolClient, types } from "pg";
import type { Logger } from "pino";
import { DatabaseAwayError } from "../../ports/database.ts";

/** PostgreSQL's own limits: nothing holds a lock for long, also when its server is paused or cut off. */
const limits = {
  statement_timeout: 15_000,
  lock_timeout: 10_000,
  idle_in_transaction_session_timeout: 8_000,
  /** Ours, for a network that swallows answers. */
  query_timeout: 20_000,
} as const;

const maxConnections = 20;
const connectTimeoutMs = 5_000;
/** How long a restart of the database is waited for before a query fails. */
const patienceMs = 5_000;
const retryEveryMs = 100;

const int8 = 20;
const numeric = 1700;

/** Whole numbers and sums are JavaScript's: times, sizes and counts stay far below 2^53. */
const numbers = {
  getTypeParser: (oid: number, format?: "text" | "binary") =>
    oid === int8 || oid === numeric ? Number : types.getTypeParser(oid, format as "text"),
} as ClientConfig["types"];

export function clientConfig(url: string): ClientConfig {
  return {
    connectionString: url,
    application_name: "holdfast",
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    ...(numbers === undefined ? {} : { types: numbers }),
  };
}

export interface PoolOptions {
  url: string;
  logger: Logger;
  /** For what may take long, as migrations do. */
  unlimited?: boolean;
}

/** A pool as Kysely wants it: waits out a short absence of the database, and says `DatabaseAwayError` for a longer one. */
export class PatientPool implements PostgresPool {
  readonly #pool: Pool;

  constructor({ url, logger, unlimited = false }: PoolOptions) {
    this.#pool = new Pool({
      ...clientConfig(url),
      max: unlimited ? 2 : maxConnections,
      connectionTimeoutMillis: connectTimeoutMs,
      idleTimeoutMillis: 30_000,
      ...(unlimited ? {} : limits),
    });
    // Between two owners a connection has no listener: its end would be an uncaught exception.
    this.#pool.on("connect", (client) => client.on("error", () => undefined));
    // The pool replaces it; who uses one is told by the query.
    this.#pool.on("error", (error) => logger.warn({ err: error }, "an idle database connection broke"));
  }

  get options(): object {
    return this.#pool.options;
  }

  end(): Promise<void> {
    return this.#pool.end();
  }

  async connect(): Promise<PostgresPoolClient> {
    const giveUpMs = performance.now() + patienceMs;
    for (;;) {
      try {
        return new Connection(await this.#pool.connect(), this);
      } catch (error) {
        const away = asAway(error);
        if (!(away instanceof DatabaseAwayError) || performance.now() > giveUpMs) throw away;
        await sleep(retryEveryMs);
      }
    }
  }
}

/** One connection while somebody uses it. */
class Connection implements PostgresPoolClient {
  readonly #client: PoolClient;
  readonly #pool: PatientPool;
  #inTransaction = false;
  #broken = false;

  constructor(client: PoolClient, pool: PatientPool) {
    this.#client = client;
    this.#pool = pool;
    client.on("error", this.#onError);
  }

  // Told by the query that runs, or by the next one.
  readonly #onError = () => {
    this.#broken = true;
  };

  // Of the two forms that Kysely knows, the one with a cursor is not used here.
  readonly query = ((sql: string, parameters: readonly unknown[]) =>
    this.#query(sql, parameters)) as PostgresPoolClient["query"];

  release(destroy?: boolean): void {
    this.#client.off("error", this.#onError);
    this.#client.release(destroy === true || this.#broken);
  }

  async #query(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<unknown>> {
    if (sql === "begin" || sql.startsWith("start transaction")) this.#inTransaction = true;
    try {
      const values = isSelect.test(sql) ? parameters.map(searched) : [...parameters];
      return (await this.#client.query(sql, values)) as unknown as PostgresQueryResult<unknown>;
    } catch (error) {
      const away = asAway(error);
      if (!(away instanceof DatabaseAwayError) || away.busy) throw away;
      this.#broken = true;
      // Reading twice does no harm; what writes, and what belongs to a transaction, is the caller's to repeat.
      if (this.#inTransaction || !isSelect.test(sql)) throw away;
      return await this.#again(sql, parameters);
    } finally {
      if (sql === "commit" || sql === "rollback") this.#inTransaction = false;
    }
  }

  async #again(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<unknown>> {
    const other = await this.#pool.connect();
    try {
      return await other.query<unknown>(sql, parameters);
    } finally {
      other.release();
    }
  }
}

const isSelect = /^select /i;

/** No column can hold a NUL or half a surrogate pair: what has one is looked for in vain, here as in SQLite. */
function searched(value: unknown): unknown {
  const stored = typeof value !== "string" || (!value.includes("\0") && value.isWellFormed());
  return stored ? value : `\u0001nowhere:${encodeURIComponent(value.toWellFormed())}`;
}

/** Connection exceptions; the server stops, crashed, starts or has no room; it ended an idle transaction. */
const awayStates = /^(08...|57P0[1235]|53300|25P0[34])$/;
/** A time limit for a statement or a lock. */
const busyStates = /^(57014|55P03)$/;
const awayCodes = /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT|EADDRNOTAVAIL)/;
const awayWords =
  /^(Connection terminated|timeout exceeded when trying to connect|Client (has encountered|was closed)|Query read timeout|Postgres connection has been discarded|timeout expired)/;

/** The error itself, unless it says that the database does not answer. */
export function asAway(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseAwayError) return error;
  const code = "code" in error ? String(error.code) : "";
  if (busyStates.test(code)) return new DatabaseAwayError({ cause: error, busy: true });
  const away = awayStates.test(code) || awayCodes.test(code) || awayWords.test(error.message);
  return away ? new DatabaseAwayError({ cause: error }) : error;
}
