import type { Selectable } from "kysely";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Schema } from "../../ports/database.ts";
import { encodeText } from "../text.ts";

export type Stray = Selectable<Schema["strays"]>;

/** Longer than a save may take: who has claimed one and died leaves it to the next after this. */
const claimMs = 40 * 60 * 1000;

/** Sandboxes with our tag that no row here knows. In the database, so that a restart does not begin their hour anew. */
export class Strays {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #keptMs: number;

  /** `keptMs`: long enough to put the right database back. */
  constructor({ db, clock, keptMs }: { db: Database; clock: Clock; keptMs: number }) {
    this.#db = db;
    this.#clock = clock;
    this.#keptMs = keptMs;
  }

  /** Notes one that was found; `isNew` the first time. */
  async see(id: string, tags: { accountId: string; workspaceId: string }): Promise<{ stray: Stray; isNew: boolean }> {
    const now = this.#clock.now();
    const row: Stray = {
      provider_id: id,
      account_id: tags.accountId,
      workspace_id: tags.workspaceId,
      first_seen_at: now,
      next_try_at: now + this.#keptMs,
      detail: null,
    };
    const made = await this.#db
      .insertInto("strays")
      .values(row)
      .onConflict((conflict) => conflict.column("provider_id").doNothing())
      .returning("provider_id")
      .executeTakeFirst();
    return made === undefined ? { stray: (await this.get(id)) ?? row, isNew: false } : { stray: row, isNew: true };
  }

  async get(id: string): Promise<Stray | undefined> {
    return await this.#db.selectFrom("strays").selectAll().where("provider_id", "=", id).executeTakeFirst();
  }

  /** Sorted by id. */
  async list(options: { after?: string; limit?: number } = {}): Promise<Stray[]> {
    let query = this.#db.selectFrom("strays").selectAll().orderBy("provider_id");
    if (options.after !== undefined) query = query.where("provider_id", ">", options.after);
    if (options.limit !== undefined) query = query.limit(options.limit);
    return await query.execute();
  }

  /** Whether its time has come and it is ours to end; of several servers one gets it. */
  async claim(id: string): Promise<boolean> {
    const now = this.#clock.now();
    const claimed = await this.#db
      .updateTable("strays")
      .set({ next_try_at: now + claimMs })
      .where("provider_id", "=", id)
      .where("next_try_at", "<=", now)
      .returning("provider_id")
      .executeTakeFirst();
    return claimed !== undefined;
  }

  /** It stays for now; `detail` says why. */
  async keep(id: string, detail: string, forMs: number): Promise<void> {
    await this.#db
      .updateTable("strays")
      .set({ detail: encodeText(detail.slice(0, 2_000)), next_try_at: this.#clock.now() + forMs })
      .where("provider_id", "=", id)
      .execute();
  }

  /** It has ended, or it is known again. */
  async drop(id: string): Promise<void> {
    await this.#db.deleteFrom("strays").where("provider_id", "=", id).execute();
  }
}
