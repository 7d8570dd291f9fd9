import { createHash, randomBytes } from "node:crypto";
import { AppError, newId } from "@holdfast/protocol";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";

export interface Account {
  id: string;
  name: string;
}

/** The account that a browser is logged in as. */
export const defaultAccountName = "default";

const namePattern = /^[A-Za-z0-9 ._@-]{1,64}$/;
/** A use is noted once in this time: not every request is worth a disk write. */
const lastUsedEveryMs = 60_000;

export interface AccountsDeps {
  db: Database;
  clock: Clock;
}

export function hashKey(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

export class Accounts {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor({ db, clock }: AccountsDeps) {
    this.#db = db;
    this.#clock = clock;
  }

  /** A new account with one API key, which is shown only here: the database has its hash. */
  async add(name: string): Promise<Account & { apiKey: string }> {
    if (!namePattern.test(name) || name.trim() !== name) throw new AppError("account_name_invalid");
    return await this.#db.transaction().execute(async (tx) => {
      const taken = await tx.selectFrom("accounts").select("id").where("name", "=", name).executeTakeFirst();
      if (taken !== undefined) throw new AppError("account_exists", { detail: `An account named "${name}" exists` });
      const account = { id: newId("account"), name };
      const now = this.#clock.now();
      await tx
        .insertInto("accounts")
        .values({ ...account, created_at: now })
        .execute();
      const apiKey = `hfk_${randomBytes(32).toString("base64url")}`;
      await tx
        .insertInto("api_keys")
        .values({
          id: newId("apiKey"),
          account_id: account.id,
          hash: hashKey(apiKey),
          last4: apiKey.slice(-4),
          created_at: now,
          last_used_at: null,
        })
        .execute();
      return { ...account, apiKey };
    });
  }

  /** Oldest first. */
  async list(): Promise<Account[]> {
    return await this.#db.selectFrom("accounts").select(["id", "name"]).orderBy("created_at").orderBy("id").execute();
  }

  /** Undefined when no account has this key. */
  async byKey(key: string): Promise<Account | undefined> {
    const hash = hashKey(key);
    const row = await this.#db
      .selectFrom("api_keys")
      .innerJoin("accounts", "accounts.id", "api_keys.account_id")
      .select(["accounts.id as id", "accounts.name as name", "api_keys.last_used_at as usedAt"])
      .where("api_keys.hash", "=", hash)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const now = this.#clock.now();
    if (now - (row.usedAt ?? 0) > lastUsedEveryMs) {
      await this.#db.updateTable("api_keys").set({ last_used_at: now }).where("hash", "=", hash).execute();
    }
    return { id: row.id, name: row.name };
  }

  async byId(id: string): Promise<Account | undefined> {
    return await this.#db.selectFrom("accounts").select(["id", "name"]).where("id", "=", id).executeTakeFirst();
  }

  /** The account of the browser, made at the first start. */
  async ensureDefault(): Promise<Account> {
    const now = this.#clock.now();
    return await this.#db.transaction().execute(async (tx) => {
      const known = await tx
        .selectFrom("accounts")
        .select(["id", "name"])
        .where("name", "=", defaultAccountName)
        .executeTakeFirst();
      if (known !== undefined) return known;
      const account = { id: newId("account"), name: defaultAccountName };
      await tx
        .insertInto("accounts")
        .values({ ...account, created_at: now })
        .execute();
      return account;
    });
  }
}
