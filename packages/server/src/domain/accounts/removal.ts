import { type AccountDeleted, AppError } from "@holdfast/protocol";
import { withDeadline } from "@holdfast/std";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";
import type { Revocations } from "../sandboxes/revocations.ts";
import type { StrayEnder } from "../sandboxes/stray-ender.ts";
import type { Sessions } from "../sessions/sessions.ts";
import type { Workspaces } from "../workspaces/workspaces.ts";
import { type DeletedAccount, markDeleted, markedAccounts, removeAccount, removeBelongings } from "./account-rows.ts";
import { defaultAccountName } from "./accounts.ts";
import type { ApiKeys } from "./keys.ts";
import type { Logins } from "./logins.ts";

export interface AccountRemovalDeps {
  db: Database;
  clock: Clock;
  logger: Logger;
  keys: Pick<ApiKeys, "endAll">;
  logins: Pick<Logins, "endAll">;
  sessions: Pick<Sessions, "end" | "remove">;
  workspaces: Pick<Workspaces, "deleteAll">;
  ender: Pick<StrayEnder, "endNow">;
  revocations: Pick<Revocations, "retry">;
  /** Resolves when nothing of the workspace is being saved to S3. */
  saved: (workspaceId: string) => Promise<void>;
}

/** What its turns last did may still be on its way to S3. All saves together; longer nobody waits. */
const saveTimeoutMs = 20_000;

const kept = [
  "Copies that were saved to S3 below docs/{account}/: delete those in the bucket.",
  "The model gateway's counts of tokens: numbers and ids, no text.",
];

/**
 * Deletes accounts: marked first, so that nobody acts for it any more, then piece by piece, its row last. Every piece
 * may be removed again, so whoever comes after a crash, or a provider that was away, begins anew at the front.
 */
export class AccountRemoval {
  readonly #deps: AccountRemovalDeps;
  readonly #running = new Map<string, Promise<AccountDeleted>>();

  constructor(deps: AccountRemovalDeps) {
    this.#deps = deps;
  }

  /** A turn that runs is ended. Throws `account_is_default`, `account_not_found`. What waits is done by `retry`. */
  async delete(id: string, signal: AbortSignal): Promise<AccountDeleted> {
    const { db, clock, logger } = this.#deps;
    const check = (name: string) => {
      if (name === defaultAccountName) throw new AppError("account_is_default");
    };
    const account = await markDeleted(db, id, { nowMs: clock.now(), check });
    if (account === undefined) throw new AppError("account_not_found");
    logger.warn({ account: id }, "an account is deleted by the administrator");
    return await this.#removeOnce(account, signal);
  }

  /** Goes on with what `delete` began. Rejects when one of them cannot be done now. */
  async retry(signal: AbortSignal): Promise<void> {
    for (const account of await markedAccounts(this.#deps.db)) {
      signal.throwIfAborted();
      const { pending } = await this.#removeOnce(account, signal);
      if (pending.length > 0) throw new Error(`the account ${account.id} is not gone yet: ${pending.join("; ")}`);
    }
  }

  /** Two at the same time do one work. */
  async #removeOnce(account: DeletedAccount, signal: AbortSignal): Promise<AccountDeleted> {
    const running = this.#running.get(account.id) ?? this.#remove(account, signal);
    this.#running.set(account.id, running);
    try {
      return await running;
    } finally {
      if (this.#running.get(account.id) === running) this.#running.delete(account.id);
    }
  }

  async #remove({ id, name }: DeletedAccount, signal: AbortSignal): Promise<AccountDeleted> {
    const { db, keys, logins, workspaces } = this.#deps;
    await keys.endAll(id);
    await logins.endAll(id);
    const sessions = await this.#removeSessions(id, signal);
    await removeBelongings(db, id);
    const files = await workspaces.deleteAll(id, signal);
    const strays = await this.#endStrays(id, signal);
    const pending = [...files.pending, ...strays.pending, ...(await this.#pendingSandboxes(id, signal))];
    if (pending.length === 0) await removeAccount(db, id);
    return {
      id,
      name,
      deleted: true,
      gone: { sessions, workspaces: files.deleted, sandboxes: [...files.sandboxes, ...strays.ended] },
      pending,
      kept,
    };
  }

  /** How many. All are stopped before the first is removed: their last saves are made, or given up, in between. */
  async #removeSessions(accountId: string, signal: AbortSignal): Promise<number> {
    const { db, sessions, saved } = this.#deps;
    const rows = await db
      .selectFrom("sessions")
      .select(["id", "workspace_id"])
      .where("account_id", "=", accountId)
      .execute();
    for (const { id } of rows) {
      signal.throwIfAborted();
      await sessions.end(id);
    }
    const saving = [...new Set(rows.map((row) => row.workspace_id))].map((workspaceId) => saved(workspaceId));
    const bounds = { what: "the account's saves", timeoutMs: saveTimeoutMs, signal };
    // One that takes longer fails with its sandbox.
    await withDeadline(() => Promise.allSettled(saving), bounds).catch(() => undefined);
    for (const { id } of rows) {
      signal.throwIfAborted();
      await sessions.remove(accountId, id);
    }
    return rows.length;
  }

  /** Sandboxes with the account's tag that are in no row of ours. */
  async #endStrays(accountId: string, signal: AbortSignal): Promise<{ ended: string[]; pending: string[] }> {
    const { db, ender, logger } = this.#deps;
    const rows = await db.selectFrom("strays").select("provider_id").where("account_id", "=", accountId).execute();
    const ended: string[] = [];
    const pending: string[] = [];
    for (const { provider_id: id } of rows) {
      try {
        await ender.endNow(id, signal);
        ended.push(id);
      } catch (error) {
        logger.warn({ err: error, sandbox: id }, "a deleted account's unknown sandbox still runs; trying again");
        pending.push(`the sandbox ${id}`);
      }
    }
    return { ended, pending };
  }

  /** Those that may still run, and those whose tokens the gateway still takes: their rows name them until then. */
  async #pendingSandboxes(accountId: string, signal: AbortSignal): Promise<string[]> {
    const { db, revocations, logger } = this.#deps;
    const open = await db
      .selectFrom("sandboxes")
      .select(["id", "provider_id"])
      .where("account_id", "=", accountId)
      .where("state", "!=", "ended")
      .execute();
    const pending = open.map((row) => `the sandbox ${row.provider_id ?? row.id}`);
    try {
      await revocations.retry(signal, accountId);
    } catch (error) {
      logger.warn({ err: error, account: accountId }, "a deleted account's tokens live on; trying again");
      pending.push("the tokens of its sandboxes");
    }
    return pending;
  }
}
