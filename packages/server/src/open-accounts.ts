import { pino } from "pino";
import { type DatabaseChoice, openServerDatabase } from "./database.ts";
import { type Account, Accounts } from "./domain/accounts/accounts.ts";
import { systemClock } from "./ports/clock.ts";

/** One of these names the database; `databaseUrl` first. */
export type AccountsPlace = { [name in keyof DatabaseChoice]?: Exclude<DatabaseChoice[name], undefined> };

export interface OpenAccounts extends AsyncDisposable {
  /** Throws `account_name_invalid` or `account_exists`. The key is shown only here. */
  add(name: string): Promise<Account & { apiKey: string }>;
  list(): Promise<Account[]>;
}

/** The accounts of a data directory, or of a PostgreSQL; works beside a running server as well as without one. */
export async function openAccounts(where: AccountsPlace): Promise<OpenAccounts> {
  const database = await openServerDatabase({ dataDir: "", ...where }, pino({ level: "silent" }));
  const accounts = new Accounts({ db: database.db, clock: systemClock });
  return {
    add: (name) => accounts.add(name),
    list: () => accounts.list(),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}
