import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";

const maxStatements = 200;

/**
 * Kysely over `node:sqlite` with one connection. Queries are synchronous underneath; a mutex keeps a transaction's
 * statements together. Anything else that is asked meanwhile waits: inside a transaction use only its own handle.
 */
export function sqliteDialect(file: string): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new SqliteDriver(file),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

class SqliteDriver implements Driver {
  readonly #file: string;
  #connection: SqliteConnection | undefined;
  #tail: Promise<void> = Promise.resolve();
  #release: (() => void) | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  async init(): Promise<void> {
    const db = new DatabaseSync(this.#file, { timeout: 10_000 });
    db.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;",
    );
    this.#connection = new SqliteConnection(db);
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    await before;
    this.#release = resolve;
    // Also when it is closed, and then refuses whatever it is asked: were it refused here, neither this mutex nor
    // Kysely's own would ever be released, and who waits behind would wait for ever.
    return this.#open();
  }

  async releaseConnection(): Promise<void> {
    this.#release?.();
  }

  /** IMMEDIATE: a second process that writes is waited for here, not discovered at the first write. */
  async beginTransaction(): Promise<void> {
    this.#open().exec("BEGIN IMMEDIATE");
  }

  async commitTransaction(): Promise<void> {
    this.#open().exec("COMMIT");
  }

  /** A full disk rolls back by itself: then a second one would only hide the reason. */
  async rollbackTransaction(): Promise<void> {
    if (this.#connection?.isTransaction) this.#connection.exec("ROLLBACK");
  }

  async destroy(): Promise<void> {
    this.#connection?.close();
  }

  #open(): SqliteConnection {
    if (this.#connection === undefined) throw new Error("the database was not opened");
    return this.#connection;
  }
}

class SqliteConnection implements DatabaseConnection {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  get isTransaction(): boolean {
    return this.#db.isOpen && this.#db.isTransaction;
  }

  exec(sql: string): void {
    this.#refuseClosed();
    this.#db.exec(sql);
  }

  close(): void {
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }

  /** What is not kept must not be taken for kept. */
  #refuseClosed(): void {
    if (!this.#db.isOpen) throw new Error("the database is closed");
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    this.#refuseClosed();
    const statement = this.#prepare(query.sql);
    const parameters = query.parameters as SQLInputValue[];
    if (statement.columns().length > 0) return { rows: statement.all(...parameters) as R[] };
    const { changes, lastInsertRowid } = statement.run(...parameters);
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  // biome-ignore lint/correctness/useYield: asked for by the interface; nothing here streams from the database.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("streaming queries are not supported");
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare(sql);
    if (this.#statements.size >= maxStatements) this.#statements.clear();
    this.#statements.set(sql, statement);
    return statement;
  }
}
