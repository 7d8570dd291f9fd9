import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import { migrate } from "../../src/adapters/db/database.ts";
import { LiteralStates } from "../../src/adapters/db/literal-states.ts";
import type { Database, Schema } from "../../src/ports/database.ts";
import type { Life } from "./_time.ts";

/** What happens at the next commit of a server. */
export type Trap = "fails" | "dies before" | "dies after";

/** Types of events that only whoever works on a session writes; requests come to any server. */
const underLease = /^(agent\.\w+|holdfast\.(turn_result|step|initialized|notice)|session\.error)$/;

const never = () => new Promise<never>(() => undefined);

/** The database, which outlives its servers: what a dead one had not committed is rolled back. */
export class Store {
  readonly raw = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, StatementSync>();
  /** Who has it for now. */
  #holder: { life: Life; release: () => void } | undefined;
  #tail: Promise<void> = Promise.resolve();
  /** Tables, in an order in which their rows can be deleted. */
  #tables: string[] = [];
  trap: Trap | undefined;
  /** Called when a trap wants the death of whoever commits. */
  onDeath: (life: Life) => void = () => undefined;
  /** Which server has raised the generation of the session last. */
  #raisedBy: number | undefined;
  /** Events that were committed by a server after another one had raised the generation. */
  staleWrites: string[] = [];

  static async open(): Promise<Store> {
    const store = new Store();
    store.raw.exec("PRAGMA foreign_keys = OFF;");
    const db = store.connect({ number: 0, alive: true });
    await migrate(db, "blob");
    const rows = store.raw.prepare("select name from sqlite_master where type = 'table'").all() as { name: string }[];
    store.#tables = rows.map(({ name }) => name).filter((name) => !/^(kysely|sqlite)_/.test(name));
    return store;
  }

  /** As it was when it was new. */
  clear(): void {
    this.trap = undefined;
    this.#raisedBy = undefined;
    this.staleWrites = [];
    for (const name of this.#tables) this.raw.exec(`delete from "${name}"`);
  }

  /** A server's connection. */
  connect(life: Life): Database {
    return new Kysely<Schema>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new StoreDriver(this, life),
        createIntrospector: (db) => new SqliteIntrospector(db),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
      plugins: [new LiteralStates()],
    });
  }

  /** Dead: its transaction, if one is open, never was. */
  drop(life: Life): void {
    if (this.#holder?.life !== life) return;
    if (this.raw.isTransaction) this.raw.exec("ROLLBACK");
    this.release(life);
  }

  async acquire(life: Life): Promise<void> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    await before;
    if (!life.alive) {
      resolve();
      return await never();
    }
    this.#holder = { life, release: resolve };
  }

  release(life: Life): void {
    if (this.#holder?.life !== life) return;
    this.#holder.release();
    this.#holder = undefined;
  }

  async commit(life: Life): Promise<void> {
    const { trap } = this;
    this.trap = undefined;
    if (trap === "fails") {
      this.raw.exec("ROLLBACK");
      throw new Error("disk I/O error, as the test has it");
    }
    if (trap === "dies before") this.onDeath(life);
    else this.raw.exec("COMMIT");
    if (trap === "dies after") this.onDeath(life);
    if (!life.alive) await never();
  }

  query<R>(life: Life, { sql, parameters }: Pick<CompiledQuery, "sql" | "parameters">): QueryResult<R> {
    const statement = this.#statement(sql);
    const values = parameters as SQLInputValue[];
    this.#note(life, sql, values);
    if (statement.columns().length > 0) return { rows: statement.all(...values) as R[] };
    const { changes, lastInsertRowid } = statement.run(...values);
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  /** For the checks: rows beside the servers. */
  rows<T>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#statement(sql).all(...values) as T[];
  }

  #note(life: Life, sql: string, values: readonly SQLInputValue[]): void {
    if (/^update "sessions" set "generation"/.test(sql)) this.#raisedBy = life.number;
    if (this.#raisedBy === undefined || life.number >= this.#raisedBy) return;
    if (!sql.startsWith('insert into "events"')) return;
    const type = values.find((value) => typeof value === "string" && underLease.test(value));
    if (type !== undefined)
      this.staleWrites.push(`server ${life.number} wrote ${type} after server ${this.#raisedBy} had the session`);
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.raw.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

class StoreDriver implements Driver {
  readonly #store: Store;
  readonly #life: Life;

  constructor(store: Store, life: Life) {
    this.#store = store;
    this.#life = life;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    if (!this.#life.alive) return await never();
    await this.#store.acquire(this.#life);
    return {
      executeQuery: async <R>(query: CompiledQuery) => {
        if (!this.#life.alive) return await never();
        return this.#store.query<R>(this.#life, query);
      },
      // biome-ignore lint/correctness/useYield: asked for by the interface.
      async *streamQuery() {
        throw new Error("streaming queries are not supported");
      },
    };
  }

  async beginTransaction(): Promise<void> {
    if (!this.#life.alive) return await never();
    this.#store.raw.exec("BEGIN IMMEDIATE");
  }

  async commitTransaction(): Promise<void> {
    if (!this.#life.alive) return await never();
    await this.#store.commit(this.#life);
  }

  async rollbackTransaction(): Promise<void> {
    if (!this.#life.alive) return await never();
    if (this.#store.raw.isTransaction) this.#store.raw.exec("ROLLBACK");
  }

  async releaseConnection(): Promise<void> {
    this.#store.release(this.#life);
  }

  async destroy(): Promise<void> {}
}
