import { createHmac } from "node:crypto";
import { AppError, newId } from "@holdfast/protocol";
import { inBackground, loginLinkLifetimeMs, loginLinkPayload, parseLoginLinkToken } from "@holdfast/std";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Tx } from "../../ports/database.ts";
import type { ServerBus } from "../../ports/server-bus.ts";
import { sameText } from "../same-text.ts";
import { holdAccount } from "./hold.ts";
import { type Hold, InUse } from "./in-use.ts";

export interface LoginsDeps {
  db: Database;
  clock: Clock;
  /** A login that one server ends closes the streams of all. */
  bus: ServerBus;
  /** Signs links. Absent: there is no login by link. */
  linkSecret: string | undefined;
  logger: Logger;
}

export interface LoginStart {
  accountId: string;
  /** The key that it was made with; its revocation ends the login. */
  keyId?: string;
}

export interface OpenLogin {
  id: string;
  /** Unix ms. */
  expiresAt: number;
}

/** Whom a cookie stands for. */
export interface LoginOf {
  accountId: string;
  accountName: string;
  keyId: string | undefined;
}

export const loginLifetimeMs = 30 * 24 * 60 * 60 * 1000;
/** Of one account, at the same time; the oldest ends when there is one more. */
export const maxLogins = 100;

const endedTopic = "login_ended";

/** Browsers that are logged in: each login is a row, so that it can be ended. */
export class Logins {
  readonly #deps: LoginsDeps;
  readonly #inUse = new InUse();

  constructor(deps: LoginsDeps) {
    this.#deps = deps;
    deps.bus.subscribe(endedTopic, (id) => this.#end(id));
    deps.bus.onGap(() => {
      inBackground(this.#lookAgain(), (error) => deps.logger.warn({ err: error }, "ended logins were not looked for"));
    });
  }

  /** Takes a link's token, which then is worth nothing any more. Throws `login_link_used` or `key_wrong`. */
  async takeLink(token: string): Promise<void> {
    const { db, clock, linkSecret } = this.#deps;
    const link = parseLoginLinkToken(token);
    if (link === undefined || linkSecret === undefined) throw new AppError("key_wrong");
    const right = createHmac("sha256", linkSecret).update(loginLinkPayload(link)).digest("base64url");
    if (!sameText(right, link.signature)) throw new AppError("key_wrong");
    const now = clock.now();
    // One from a clock far ahead would have to be remembered for as long.
    if (link.expiresMs <= now || link.expiresMs > now + 2 * loginLinkLifetimeMs) throw new AppError("login_link_used");
    await db.deleteFrom("used_login_links").where("expires_at", "<=", now).execute();
    const taken = await db
      .insertInto("used_login_links")
      .values({ nonce: link.nonce, expires_at: link.expiresMs })
      .onConflict((conflict) => conflict.column("nonce").doNothing())
      .executeTakeFirst();
    if (Number(taken.numInsertedOrUpdatedRows ?? 0) === 0) throw new AppError("login_link_used");
  }

  async start({ accountId, keyId }: LoginStart): Promise<OpenLogin> {
    const { db, clock } = this.#deps;
    const now = clock.now();
    const login = { id: newId("login", now), expiresAt: now + loginLifetimeMs };
    const row = {
      id: login.id,
      account_id: accountId,
      key_id: keyId ?? null,
      created_at: now,
      expires_at: login.expiresAt,
    };
    await db.transaction().execute(async (tx) => {
      await holdAccount(tx, accountId);
      await tx.insertInto("logins").values(row).execute();
    });
    await this.#prune(accountId, now);
    return login;
  }

  /** Undefined when it was ended, is too old, or its account or key is no more. */
  async find(id: string): Promise<LoginOf | undefined> {
    const { db, clock } = this.#deps;
    const row = await db
      .selectFrom("logins")
      .innerJoin("accounts", "accounts.id", "logins.account_id")
      .leftJoin("api_keys", "api_keys.id", "logins.key_id")
      .select([
        "logins.account_id as accountId",
        "accounts.name as accountName",
        "logins.key_id as keyId",
        "api_keys.id as foundKey",
        "api_keys.revoked_at as revokedAt",
      ])
      .where("logins.id", "=", id)
      .where("logins.expires_at", ">", clock.now())
      .where("accounts.deleted_at", "is", null)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    if (row.keyId !== null && (row.foundKey === null || row.revokedAt !== null)) return undefined;
    return { accountId: row.accountId, accountName: row.accountName, keyId: row.keyId ?? undefined };
  }

  /** From now on its cookie is worth nothing; streams that it opened end. Safe to repeat. */
  async end(id: string): Promise<void> {
    await this.#deps.db.deleteFrom("logins").where("id", "=", id).execute();
    await this.#ended([id]);
  }

  /** Every browser of the account. */
  async endAll(accountId: string): Promise<void> {
    await this.#ended(await endLogins(this.#deps.db, accountId));
  }

  /** For as long as a request runs: its signal aborts when the login ends. */
  hold(id: string): Hold {
    return this.#inUse.hold(id);
  }

  /** How many logins requests hold now. */
  get inUse(): number {
    return this.#inUse.ids.length;
  }

  async #prune(accountId: string, now: number): Promise<void> {
    const { db } = this.#deps;
    const old = await db.selectFrom("logins").select("id").where("expires_at", "<=", now).limit(1_000).execute();
    const over = await db
      .selectFrom("logins")
      .select("id")
      .where("account_id", "=", accountId)
      .orderBy("id", "desc")
      .limit(1_000)
      .offset(maxLogins)
      .execute();
    const ids = [...old, ...over].map(({ id }) => id);
    if (ids.length === 0) return;
    await db.deleteFrom("logins").where("id", "in", ids).execute();
    await this.#ended(ids);
  }

  async #ended(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      this.#end(id);
      await this.#deps.bus.publish(endedTopic, id);
    }
  }

  /** Word of an end may have been lost. */
  async #lookAgain(): Promise<void> {
    for (const id of this.#inUse.ids) if ((await this.find(id)) === undefined) this.#end(id);
  }

  #end(id: string): void {
    this.#inUse.end(id, new AppError("key_wrong", { detail: "This browser was logged out" }));
  }
}

/** Takes all logins of an account away; gives their ids. */
export async function endLogins(db: Database | Tx, accountId: string): Promise<string[]> {
  const rows = await db.deleteFrom("logins").where("account_id", "=", accountId).returning("id").execute();
  return rows.map(({ id }) => id);
}
