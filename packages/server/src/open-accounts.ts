import { join } from "node:path";
import { openDatabase } from "./adapters/db/database.ts";
import { type Account, Accounts } from "./domain/accounts/accounts.ts";
import { systemClock } from "./ports/clock.ts";

export interface OpenAccounts extends AsyncDisposable {
  /** Throws `account_name_invalid` or `account_exists`. The key is shown only here. */
  add(name: string): Promise<Account & { apiKey: string }>;
  list(): Promise<Account[]>;
}

/** The accounts of a data directory; works beside a running server as well as without one. */
export async function openAccounts(where: { dataDir: string } | { databaseFile: string }): Promise<OpenAccounts> {
  const file = "databaseFile" in where ? where.databaseFile : join(where.dataDir, "server.sqlite");
  const database = await openDatabase(file);
  const accounts = new Accounts({ db: database.db, clock: systemClock });
  return {
    add: (name) => accounts.add(name),
    list: () => accounts.list(),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}
