import { createHash, randomBytes } from "node:crypto";
import { type ApiKey, type ApiKeyCreated, AppError, newId } from "@holdfast/protocol";
import { inBackground } from "@holdfast/std";
import type { Selectable } from "kysely";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Schema, Tx } from "../../ports/database.ts";
import type { ServerBus } from "../../ports/server-bus.ts";
import { afterPage, type Page, type PageRequest, toPage } from "../paging.ts";
import { decodeText, encodeText } from "../text.ts";
import { holdAccount } from "./hold.ts";
import { type Hold, InUse } from "./in-use.ts";

export interface KeysDeps {
  db: Database;
  clock: Clock;
  /** A key that one server revokes ends the streams of all. */
  bus: ServerBus;
  logger: Logger;
}

const revokedTopic = "api_key_revoked";

export function hashKey(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/** How much of a key is kept as it is: enough to tell keys apart, nothing to guess the rest from. */
const prefixLength = 10;

/** Makes a key; the database gets its hash. */
export async function insertKey(
  db: Database | Tx,
  input: { accountId: string; name: string; nowMs: number },
): Promise<ApiKeyCreated> {
  const apiKey = `hfk_${randomBytes(32).toString("base64url")}`;
  const row = {
    id: newId("apiKey", input.nowMs),
    account_id: input.accountId,
    name: encodeText(input.name),
    hash: hashKey(apiKey),
    prefix: apiKey.slice(0, prefixLength),
    last4: apiKey.slice(-4),
    created_at: input.nowMs,
    last_used_at: null,
    revoked_at: null,
  };
  await db.insertInto("api_keys").values(row).execute();
  return { ...toKey(row), api_key: apiKey };
}

/** The API keys of accounts. */
export class ApiKeys {
  readonly #deps: KeysDeps;
  readonly #inUse = new InUse();

  constructor(deps: KeysDeps) {
    this.#deps = deps;
    deps.bus.subscribe(revokedTopic, (id) => this.#end(id));
    deps.bus.onGap(() => {
      inBackground(this.#lookAgain(), (error) => deps.logger.error({ err: error }, "revoked keys were not looked for"));
    });
  }

  async create(accountId: string, name: string): Promise<ApiKeyCreated> {
    const { db, clock } = this.#deps;
    return await db.transaction().execute(async (tx) => {
      await holdAccount(tx, accountId);
      return await insertKey(tx, { accountId, name, nowMs: clock.now() });
    });
  }

  /** Oldest first, revoked ones included. */
  async list(accountId: string, page: PageRequest): Promise<Page<ApiKey>> {
    let query = this.#deps.db.selectFrom("api_keys").selectAll().where("account_id", "=", accountId);
    const last = afterPage(page, "api_keys");
    if (last !== undefined) query = query.where("id", ">", last);
    const rows = await query
      .orderBy("id")
      .limit(page.limit + 1)
      .execute();
    return toPage(rows.map(toKey), { of: "api_keys", limit: page.limit });
  }

  /** From now on it is worth nothing; streams that it opened end. Safe to repeat. */
  async revoke(accountId: string, id: string): Promise<ApiKey> {
    const { db, clock } = this.#deps;
    const mine = db.selectFrom("api_keys").selectAll().where("id", "=", id).where("account_id", "=", accountId);
    const row = await mine.executeTakeFirst();
    if (row === undefined) throw new AppError("api_key_not_found");
    const revokedAt = row.revoked_at ?? clock.now();
    await db.updateTable("api_keys").set({ revoked_at: revokedAt }).where("id", "=", id).execute();
    this.#end(id);
    await this.#deps.bus.publish(revokedTopic, id);
    return toKey({ ...row, revoked_at: revokedAt });
  }

  /** Of an account that was deleted: streams that its keys opened end, on every server. Safe to repeat. */
  async endAll(accountId: string): Promise<void> {
    const { db, clock, bus } = this.#deps;
    const rows = await db
      .updateTable("api_keys")
      .set((eb) => ({ revoked_at: eb.fn.coalesce("revoked_at", eb.val(clock.now())) }))
      .where("account_id", "=", accountId)
      .returning("id")
      .execute();
    for (const { id } of rows) {
      this.#end(id);
      await bus.publish(revokedTopic, id);
    }
  }

  /** Whether a login that was made with this key still counts. */
  async isValid(id: string): Promise<boolean> {
    const row = await this.#deps.db.selectFrom("api_keys").select("revoked_at").where("id", "=", id).executeTakeFirst();
    return row !== undefined && row.revoked_at === null;
  }

  /** For as long as a request runs: its signal aborts when the key is revoked. */
  hold(id: string): Hold {
    return this.#inUse.hold(id);
  }

  /** How many keys requests hold now. */
  get inUse(): number {
    return this.#inUse.ids.length;
  }

  #end(id: string): void {
    this.#inUse.end(id, new AppError("key_wrong", { detail: "The API key was revoked" }));
  }

  /** Word of a revocation may have been lost. */
  async #lookAgain(): Promise<void> {
    const { ids } = this.#inUse;
    if (ids.length === 0) return;
    const { db, logger } = this.#deps;
    try {
      const query = db.selectFrom("api_keys").select("id").where("id", "in", ids).where("revoked_at", "is", null);
      const valid = new Set((await query.execute()).map(({ id }) => id));
      // One without a row went with its account.
      for (const id of ids) if (!valid.has(id)) this.#end(id);
    } catch (error) {
      logger.warn({ err: error }, "cannot look whether keys in use were revoked");
    }
  }
}

function toKey(row: Omit<Selectable<Schema["api_keys"]>, "hash" | "account_id" | "last4">): ApiKey {
  return {
    id: row.id,
    name: decodeText(row.name),
    prefix: row.prefix,
    created_at: new Date(row.created_at).toISOString(),
    last_used_at: row.last_used_at === null ? null : new Date(row.last_used_at).toISOString(),
    revoked_at: row.revoked_at === null ? null : new Date(row.revoked_at).toISOString(),
  };
}
