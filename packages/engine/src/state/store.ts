import type { DatabaseSync } from "node:sqlite";
import { openDatabase } from "./database.ts";
import { type Keys, loadKeys } from "./seal.ts";

/** A value that SQLite takes or gives. */
export type Value = string | number | null | Uint8Array;
export type Row = Record<string, Value>;

/** What survives a restart: one database, written before anything is answered. */
export interface Store extends Disposable {
  keys: Keys;
  run(sql: string, ...values: Value[]): number;
  get(sql: string, ...values: Value[]): Row | undefined;
  all(sql: string, ...values: Value[]): Row[];
  /** Runs `work` in one transaction. */
  transaction<T>(work: () => T): T;
  meta(key: string): string | undefined;
  setMeta(key: string, value: string): void;
}

/** Statements that are kept ready; a client chooses some of them by what it asks for. */
const maxPrepared = 200;

/** Runs a write, and once more when there was no room for it and some could be made. */
export type WithRoom = <T>(write: () => T) => T;

/**
 * Opens the state under `dataDir`. Throws `DataDirInUseError` when another engine holds it. What cannot be written for
 * the want of room goes through `withRoom`.
 */
export function openStore(dataDir: string, withRoom: WithRoom = (write) => write()): Store {
  const database = withRoom(() => openDatabase(dataDir));
  const keys = withRoom(() => loadKeys(dataDir));
  const prepared = new Map<string, ReturnType<DatabaseSync["prepare"]>>();
  const prepare = (sql: string) => {
    let statement = prepared.get(sql);
    if (!statement) {
      statement = database.prepare(sql);
      const [oldest] = prepared.size >= maxPrepared ? prepared.keys() : [];
      if (oldest !== undefined) prepared.delete(oldest);
      prepared.set(sql, statement);
    }
    return statement;
  };
  // A statement of a transaction is repeated with all of it: SQLite may have taken the whole back.
  const write = <T>(work: () => T) => (database.isTransaction ? work() : withRoom(work));
  const store: Store = {
    keys,
    run: (sql, ...values) => write(() => Number(prepare(sql).run(...values).changes)),
    get: (sql, ...values) => prepare(sql).get(...values) as Row | undefined,
    all: (sql, ...values) => prepare(sql).all(...values) as Row[],
    transaction: (work) =>
      write(() => {
        database.exec("BEGIN IMMEDIATE");
        try {
          const result = work();
          database.exec("COMMIT");
          return result;
        } catch (error) {
          if (database.isTransaction) database.exec("ROLLBACK");
          throw error;
        }
      }),
    meta: (key) => {
      const value = prepare("SELECT value FROM meta WHERE key = ?").get(key)?.value;
      return value === undefined ? undefined : String(value);
    },
    setMeta: (key, value) => {
      const sql = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
      write(() => prepare(sql).run(key, value));
    },
    [Symbol.dispose]: () => database.close(),
  };
  return store;
}

/** Whether an insert failed because a unique value was taken. */
export function isTaken(error: unknown): boolean {
  return error instanceof Error && /UNIQUE constraint failed/.test(error.message);
}
