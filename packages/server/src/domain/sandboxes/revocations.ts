import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";

export interface RevocationsDeps {
  db: Database;
  clock: Clock;
  logger: Logger;
  /** Rejects when the gateway does not answer. */
  revoke: (providerId: string, signal: AbortSignal) => Promise<void>;
}

const callTimeoutMs = 10_000;
/** No token lives longer. */
const tokenLifeMs = 7 * 24 * 60 * 60 * 1000;

/** Makes the tokens of ended sandboxes worthless: noted when it was done, tried again until it was. */
export class Revocations {
  readonly #deps: RevocationsDeps;

  constructor(deps: RevocationsDeps) {
    this.#deps = deps;
  }

  /** Without waiting for it. What fails is done by `retry`. */
  schedule(providerId: string): void {
    const { logger } = this.#deps;
    const signal = AbortSignal.timeout(callTimeoutMs);
    this.#revoke(providerId, signal).catch((error) =>
      logger.warn({ err: error, sandbox: providerId }, "an ended sandbox's tokens live on; the next sweep tries again"),
    );
  }

  /** All that are still to be done, of one account when it is given. Rejects when one cannot be done now. */
  async retry(signal: AbortSignal, accountId?: string): Promise<void> {
    let query = this.#deps.db
      .selectFrom("sandboxes")
      .select("provider_id")
      .where("state", "=", "ended")
      .where("revoked_at", "is", null)
      .where("provider_id", "is not", null)
      .where("updated_at", ">", this.#deps.clock.now() - tokenLifeMs);
    if (accountId !== undefined) query = query.where("account_id", "=", accountId);
    const rows = await query.execute();
    for (const { provider_id: id } of rows) if (id !== null) await this.#revoke(id, signal);
  }

  async #revoke(providerId: string, signal: AbortSignal): Promise<void> {
    const { db, clock, revoke } = this.#deps;
    await revoke(providerId, AbortSignal.any([signal, AbortSignal.timeout(callTimeoutMs)]));
    await db
      .updateTable("sandboxes")
      .set({ revoked_at: clock.now() })
      .where("provider_id", "=", providerId)
      .where("revoked_at", "is", null)
      .execute();
  }
}
