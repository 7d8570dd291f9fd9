import { type AccountCreated, type Account as AccountView, AppError, newId } from "@holdfast/protocol";
import type { Clock } from "../../ports/clock.ts";
import { type Database, lockName, type Tx } from "../../ports/database.ts";
import { afterPage, type Page, type PageRequest, toPage } from "../paging.ts";
import { decodeText } from "../text.ts";
import { hashKey, insertKey } from "./keys.ts";

export interface Account {
  id: string;
  name: string;
}

/** The account that a browser is logged in as; it administers the installation. */
export const defaultAccountName = "default";

const namePattern = /^[A-Za-z0-9 ._@-]{1,64}$/;
/** A use is noted once in this time: not every request is worth a disk write. */
const lastUsedEveryMs = 60_000;

export interface AccountsDeps {
  db: Database;
  clock: Clock;
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
    const { id, api_key: apiKey } = await this.create(name);
    return { id, name, apiKey };
  }

  /** As `add`, in the API's shape. Throws `account_name_invalid` or `account_exists`. */
  async create(name: string): Promise<AccountCreated> {
    if (!namePattern.test(name) || name.trim() !== name) throw new AppError("account_name_invalid");
    return await this.#db.transaction().execute(async (tx) => {
      await lockName(tx, `account:${name}`);
      const taken = await tx.selectFrom("accounts").select("id").where("name", "=", name).executeTakeFirst();
      if (taken !== undefined) throw new AppError("account_exists", { detail: `An account named "${name}" exists` });
      const nowMs = this.#clock.now();
      const account = await insertAccount(tx, name, nowMs);
      const key = await insertKey(tx, { accountId: account.id, name: "first", nowMs });
      return { ...account, created_at: new Date(nowMs).toISOString(), api_key: key.api_key };
    });
  }

  /** Oldest first. */
  async list(): Promise<Account[]> {
    return await this.#db
      .selectFrom("accounts")
      .select(["id", "name"])
      .where("deleted_at", "is", null)
      .orderBy("created_at")
      .orderBy("id")
      .execute();
  }

  /** Oldest first; only the one given by `only`, when given. */
  async page(request: PageRequest, only?: string): Promise<Page<AccountView>> {
    let query = this.#db.selectFrom("accounts").selectAll().where("deleted_at", "is", null);
    if (only !== undefined) query = query.where("id", "=", only);
    const last = afterPage(request, "accounts");
    if (last !== undefined) query = query.where("id", ">", last);
    const rows = await query
      .orderBy("id")
      .limit(request.limit + 1)
      .execute();
    const views = rows.map(({ id, name, created_at: at }) => ({ id, name, created_at: new Date(at).toISOString() }));
    return toPage(views, { of: "accounts", limit: request.limit });
  }

  /** Undefined when no account has this key, or the key was revoked, or the account deleted. */
  async byKey(key: string): Promise<(Account & { keyId: string; keyName: string }) | undefined> {
    const hash = hashKey(key);
    const row = await this.#db
      .selectFrom("api_keys")
      .innerJoin("accounts", "accounts.id", "api_keys.account_id")
      .select([
        "accounts.id as id",
        "accounts.name as name",
        "api_keys.id as keyId",
        "api_keys.name as keyName",
        "api_keys.last_used_at as usedAt",
        "api_keys.revoked_at as revokedAt",
      ])
      .where("api_keys.hash", "=", hash)
      .where("accounts.deleted_at", "is", null)
      .executeTakeFirst();
    if (row === undefined || row.revokedAt !== null) return undefined;
    const now = this.#clock.now();
    if (now - (row.usedAt ?? 0) > lastUsedEveryMs) {
      await this.#db.updateTable("api_keys").set({ last_used_at: now }).where("hash", "=", hash).execute();
    }
    return { id: row.id, name: row.name, keyId: row.keyId, keyName: decodeText(row.keyName) };
  }

  async byId(id: string): Promise<Account | undefined> {
    return await this.#db.selectFrom("accounts").select(["id", "name"]).where("id", "=", id).executeTakeFirst();
  }

  /** The account of the browser, made at the first start. */
  async ensureDefault(): Promise<Account> {
    const now = this.#clock.now();
    return await this.#db.transaction().execute(async (tx) => {
      await lockName(tx, `account:${defaultAccountName}`);
      const known = await tx
        .selectFrom("accounts")
        .select(["id", "name"])
        .where("name", "=", defaultAccountName)
        .executeTakeFirst();
      return known ?? (await insertAccount(tx, defaultAccountName, now));
    });
  }
}

async function insertAccount(tx: Tx, name: string, nowMs: number): Promise<Account> {
  const account = { id: newId("account", nowMs), name };
  await tx
    .insertInto("accounts")
    .values({ ...account, created_at: nowMs })
    .execute();
  return account;
}
