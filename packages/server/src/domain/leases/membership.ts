import { newId } from "@holdfast/protocol";
import { pause } from "@holdfast/std";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Tx } from "../../ports/database.ts";
import { Term } from "./term.ts";

export interface LeaseTimings {
  /** A heartbeat each. */
  beatMs: number;
  /** A server that was not seen to beat for so long is dead. */
  deadMs: number;
  /** The others are looked at, and work without a server is looked for, this often. */
  lookMs: number;
}

/** Dead and taken over in less than 20 s, and no server that is only busy. */
export const leaseTimings: LeaseTimings = { beatMs: 3_000, deadMs: 12_000, lookMs: 1_000 };

/** Where a server notes its id, so that the next one on the same data directory knows whom it follows. */
export interface ServerIdNote {
  /** Every id that may still be in the database. */
  read(): string[];
  write(ids: readonly string[]): void;
}

export interface MembershipDeps {
  db: Database;
  clock: Clock;
  logger: Logger;
  host: string;
  note: ServerIdNote;
  timings: LeaseTimings;
}

/** What this server does under a lease must not go on: another one has it. */
export class LeaseLostError extends Error {
  override name = "LeaseLostError";
}

/**
 * This server's place among those of its database. One that was given up for dead drops all that it held and joins
 * again, under another id.
 */
export class Membership implements AsyncDisposable {
  readonly #deps: MembershipDeps;
  readonly #closing = new AbortController();
  #term: Term;
  #beating: Promise<void> | undefined;
  #loop: Promise<void> = Promise.resolve();

  private constructor(deps: MembershipDeps, term: Term) {
    this.#deps = deps;
    this.#term = term;
  }

  /** Whatever the server before this one on the same data directory worked on is this one's at once. */
  static async join(deps: MembershipDeps): Promise<Membership> {
    return new Membership(deps, await register(deps, deps.note.read()));
  }

  /** The current one. It may be over already: then another comes. */
  get term(): Term {
    return this.#term;
  }

  /** Goes on beating. `dropAll` lets go of everything; `joined` is told each new term. */
  start(hooks: { dropAll: (reason: LeaseLostError) => Promise<void>; joined: () => void }): void {
    this.#loop = this.#run(hooks);
  }

  /** Resolves when this server is certainly no dead one: at once, or after a heartbeat. Rejects when it is one. */
  async confirm(term: Term): Promise<void> {
    term.signal.throwIfAborted();
    if (!term.isFresh(this.#deps.timings.deadMs * safety)) await this.#beat(term);
    term.signal.throwIfAborted();
  }

  /**
   * One transaction of a server that is certainly alive: whoever declares it dead meanwhile waits for its end. Rejects
   * with `LeaseLostError` when that has happened already.
   */
  async held<T>(term: Term, work: (tx: Tx) => Promise<T>): Promise<T> {
    term.signal.throwIfAborted();
    const sent = term.mark();
    const result = await this.#deps.db.transaction().execute(async (tx) => {
      if (!(await countUp(tx, term.serverId))) throw this.#out(term);
      return await work(tx);
    });
    term.beaten(sent);
    return result;
  }

  /** Leaves: what it worked on is anybody's. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the server stops"));
    await this.#loop;
    const { serverId } = this.#term;
    this.#term.end(new LeaseLostError("the server stops"));
    const { db, logger, note } = this.#deps;
    try {
      await db.transaction().execute(async (tx) => {
        await tx.updateTable("workspaces").set({ server_id: null }).where("server_id", "=", serverId).execute();
        await tx.deleteFrom("servers").where("id", "=", serverId).execute();
      });
      note.write([]);
    } catch (error) {
      logger.warn({ err: error }, "this server could not sign off; it will be found dead");
    }
  }

  async #run({ dropAll, joined }: Parameters<Membership["start"]>[0]): Promise<void> {
    for (;;) {
      await this.#beatUntilOut();
      if (this.#closing.signal.aborted) return;
      await this.#letGo(dropAll);
      if (!(await this.#rejoin())) return;
      joined();
    }
  }

  /** What does not come to its end in time is fenced all the same: joining again need not wait for it. */
  async #letGo(dropAll: (reason: LeaseLostError) => Promise<void>): Promise<void> {
    const dropping = dropAll(this.#term.signal.reason as LeaseLostError).catch((error) =>
      this.#deps.logger.error({ err: error }, "not everything was let go of cleanly"),
    );
    await Promise.race([dropping, pause(letGoMs, this.#closing.signal)]);
  }

  async #beatUntilOut(): Promise<void> {
    const term = this.#term;
    const signal = AbortSignal.any([this.#closing.signal, term.signal]);
    while (await pause(this.#deps.timings.beatMs, signal)) {
      await this.#beat(term).catch((error) => {
        if (!(error instanceof LeaseLostError)) this.#deps.logger.warn({ err: error }, "no heartbeat; trying again");
      });
    }
  }

  async #rejoin(): Promise<boolean> {
    const { logger } = this.#deps;
    for (;;) {
      try {
        // Not whom the note names: that may be another process, which a mistake put on this data directory.
        this.#term = await register(this.#deps, [this.#term.serverId]);
        return true;
      } catch (error) {
        logger.error({ err: error }, "this server cannot join the others again; trying again");
        if (!(await pause(1_000, this.#closing.signal))) return false;
      }
    }
  }

  /** One at a time: who needs to know meanwhile waits for the same one. */
  #beat(term: Term): Promise<void> {
    this.#beating ??= this.#beatOnce(term).finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #beatOnce(term: Term): Promise<void> {
    const sent = term.mark();
    if (!(await countUp(this.#deps.db, term.serverId))) throw this.#out(term);
    term.beaten(sent);
  }

  #out(term: Term): LeaseLostError {
    const error = new LeaseLostError("another server took this one for dead and works on its sessions");
    if (!term.signal.aborted) this.#deps.logger.error({ server: term.serverId }, error.message);
    term.end(error);
    return error;
  }
}

const letGoMs = 3_000;
/** Of the time to live: what is left of it is for the clocks to be a little wrong. */
const safety = 0.8;

async function countUp(db: Database, serverId: string): Promise<boolean> {
  const row = await db
    .updateTable("servers")
    .set((eb) => ({ beats: eb("beats", "+", 1) }))
    .where("id", "=", serverId)
    .returning("beats")
    .executeTakeFirst();
  return row !== undefined;
}

/** The ids of before are noted until they are certainly out of the database. */
async function register(deps: MembershipDeps, before: readonly string[]): Promise<Term> {
  const { db, clock, logger, host, note } = deps;
  const nowMs = clock.now();
  const term = new Term(newId("server", nowMs));
  note.write([...before, term.serverId]);
  const sent = term.mark();
  const taken = await db.transaction().execute(async (tx) => {
    await tx.insertInto("servers").values({ id: term.serverId, beats: 1, host, started_at: nowMs }).execute();
    if (before.length === 0) return 0;
    await tx.deleteFrom("servers").where("id", "in", before).execute();
    const { numUpdatedRows } = await tx
      .updateTable("workspaces")
      .set({ server_id: term.serverId })
      .where("server_id", "in", before)
      .executeTakeFirst();
    return Number(numUpdatedRows);
  });
  term.beaten(sent);
  note.write([term.serverId]);
  logger.info({ server: term.serverId, host, workspaces: taken }, "joined the servers of this database");
  return term;
}
