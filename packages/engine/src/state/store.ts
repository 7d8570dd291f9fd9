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

/** Opens the state under `dataDir`. Throws `DataDirInUseError` when another engine holds it. */
export function openStore(dataDir: string): Store {
  const database = openDatabase(dataDir);
  const keys = loadKeys(dataDir);
  const prepared = new Map<string, ReturnType<DatabaseSync["prepare"]>>();
  const prepare = (sql: string) => {
    let statement = prepared.get(sql);
    if (!statement) {
      statement = database.prepare(sql);
      prepared.set(sql, statement);
    }
    return statement;
  };
  const store: Store = {
    keys,
    run: (sql, ...values) => Number(prepare(sql).run(...values).changes),
    get: (sql, ...values) => prepare(sql).get(...values) as Row | undefined,
    all: (sql, ...values) => prepare(sql).all(...values) as Row[],
    transaction: (work) => {
      database.exec("BEGIN IMMEDIATE");
      try {
        const result = work();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        database.exec("ROLLBACK");
        throw error;
      }
    },
    meta: (key) => {
      const value = prepare("SELECT value FROM meta WHERE key = ?").get(key)?.value;
      return value === undefined ? undefined : String(value);
    },
    setMeta: (key, value) => {
      prepare("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value").run(
        key,
        value,
      );
    },
    [Symbol.dispose]: () => database.close(),
  };
  return store;
}

/** Whether an insert failed because a unique value was taken. */
export function isTaken(error: unknown): boolean {
  return error instanceof Error && /UNIQUE constraint failed/.test(error.message);
}
