import { pause, Recent } from "@holdfast/std";
import type { Logger } from "pino";
import type { Database, Tx } from "../../ports/database.ts";
import { type Beat, HeartbeatJudge } from "./heartbeat-judge.ts";
import { LeaseLostError, type LeaseTimings, type Membership } from "./membership.ts";
import { isOrphan, orphansWithWork } from "./orphans.ts";
import type { Term } from "./term.ts";

export interface LeasesDeps {
  db: Database;
  logger: Logger;
  membership: Membership;
  timings: LeaseTimings;
}

/** Who works on a workspace: this server, another living one, or nobody. */
export type Owner = { kind: "this" } | { kind: "other"; serverId: string } | { kind: "nobody" };

export interface LeaseHooks {
  /** Let go of everything, at once and without ending it: another server goes on with it, or this one under a new id. */
  dropAll: (reason: LeaseLostError) => Promise<void>;
  /** These workspaces are this server's from now on, with whatever goes on in them. */
  taken: (workspaceIds: readonly string[]) => Promise<void>;
  /** Again and again: there may be work that nobody told of. */
  look: () => Promise<void>;
}

/** Workspaces whose lease is remembered. */
const maxKnown = 10_000;

/** Which workspaces this server works on. All sessions of a workspace are one server's, as they share its sandbox. */
export class Leases implements AsyncDisposable {
  readonly #deps: LeasesDeps;
  readonly #judge: HeartbeatJudge;
  readonly #closing = new AbortController();
  /** Known to be this server's; what is not in here is looked up. */
  #mine = new Recent<string, true>(maxKnown);
  #mineIn: Term | undefined;
  /** Of the last look. */
  #orphans = new Set<string>();
  #loop: Promise<void> = Promise.resolve();

  constructor(deps: LeasesDeps) {
    this.#deps = deps;
    const { deadMs, lookMs } = deps.timings;
    this.#judge = new HeartbeatJudge({ deadMs, blindMs: Math.max(lookMs * 4, deadMs / 2) });
  }

  get serverId(): string {
    return this.#deps.membership.term.serverId;
  }

  /** How many workspaces are known to be this server's without a look-up. */
  get known(): number {
    return this.#mine.size;
  }

  /** Takes over what is to be taken over, then looks after it until disposed of. */
  start(hooks: LeaseHooks): void {
    const { membership } = this.#deps;
    membership.start({ dropAll: hooks.dropAll, joined: () => undefined });
    this.#loop = this.#run(hooks);
  }

  /** Makes the workspace this server's unless another living one has it. */
  async acquire(workspaceId: string): Promise<Owner> {
    const { membership } = this.#deps;
    const { term } = membership;
    if (this.#has(term, workspaceId)) return { kind: "this" };
    const owner = await membership.held(term, async (tx) => {
      const row = await tx
        .updateTable("workspaces")
        .set({ server_id: term.serverId })
        .where("id", "=", workspaceId)
        .where((eb) => eb.or([eb("server_id", "=", term.serverId), isOrphan(eb)]))
        .returning("id")
        .executeTakeFirst();
      return row === undefined ? await ownerIn(tx, workspaceId, term.serverId) : ({ kind: "this" } as const);
    });
    if (owner.kind === "this") this.#remember(term, workspaceId);
    return owner;
  }

  async ownerOf(workspaceId: string): Promise<Owner> {
    const { db, membership } = this.#deps;
    if (this.#has(membership.term, workspaceId)) return { kind: "this" };
    return await ownerIn(db, workspaceId, this.serverId);
  }

  /**
   * One transaction of the server that works on this workspace, which nobody takes over meanwhile. Rejects with
   * `LeaseLostError` when it is another's.
   */
  async held<T>(workspaceId: string, work: (tx: Tx) => Promise<T>): Promise<T> {
    const { membership } = this.#deps;
    const { term } = membership;
    return await membership.held(term, async (tx) => {
      const row = await tx
        .selectFrom("workspaces")
        .select("id")
        .where("id", "=", workspaceId)
        .where("server_id", "=", term.serverId)
        .executeTakeFirst();
      if (row === undefined) throw new LeaseLostError(`workspace ${workspaceId} is not this server's`);
      return await work(tx);
    });
  }

  /**
   * To be asked before anything that a timer sets off, or that the database does not guard: a process that was stopped
   * for a while must not go on as if nothing had happened. Rejects when this server is out.
   */
  async confirm(): Promise<void> {
    const { membership } = this.#deps;
    await membership.confirm(membership.term);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the server stops"));
    await this.#loop;
  }

  async #run(hooks: LeaseHooks): Promise<void> {
    const { signal } = this.#closing;
    let begun: Term | undefined;
    /** Taken, and not gone on with yet. */
    let taken = new Set<string>();
    do {
      const { term } = this.#deps.membership;
      try {
        const isFirst = begun !== term;
        if (isFirst) taken = new Set(await this.#inherited(term));
        begun = term;
        for (const id of await this.#bury(term)) taken.add(id);
        for (const id of await this.#adoptOrphans({ atOnce: isFirst })) taken.add(id);
        if (taken.size > 0) await hooks.taken([...taken]);
        taken.clear();
        await hooks.look();
      } catch (error) {
        const { logger } = this.#deps;
        if (!signal.aborted && !(error instanceof LeaseLostError))
          logger.warn({ err: error }, "the other servers and their work cannot be looked at; trying again");
      }
    } while (await pause(this.#deps.timings.lookMs, signal));
  }

  /** What came to this server with its registration. */
  async #inherited(term: Term): Promise<string[]> {
    const rows = await this.#deps.db
      .selectFrom("workspaces")
      .select("id")
      .where("server_id", "=", term.serverId)
      .execute();
    return rows.map(({ id }) => id);
  }

  /** Takes over what the dead worked on. */
  async #bury(term: Term): Promise<string[]> {
    const { db } = this.#deps;
    const servers = await db.selectFrom("servers").select(["id", "beats"]).where("id", "!=", term.serverId).execute();
    const taken: string[] = [];
    for (const dead of this.#judge.observe(servers, performance.now()))
      taken.push(...((await this.#takeFrom(term, dead)) ?? []));
    return taken;
  }

  /** Undefined when it has beaten after all, or somebody else was faster. */
  async #takeFrom(term: Term, dead: Beat): Promise<string[] | undefined> {
    const { membership, logger } = this.#deps;
    const taken = await membership.held(term, async (tx) => {
      const { numDeletedRows } = await tx
        .deleteFrom("servers")
        .where("id", "=", dead.id)
        .where("beats", "=", dead.beats)
        .executeTakeFirst();
      if (Number(numDeletedRows) === 0) return undefined;
      return await tx
        .updateTable("workspaces")
        .set({ server_id: term.serverId })
        .where("server_id", "=", dead.id)
        .returning("id")
        .execute();
    });
    if (taken !== undefined) logger.warn({ dead: dead.id, workspaces: taken.length }, "a server is dead: taking over");
    return taken?.map(({ id }) => id);
  }

  /**
   * Work in workspaces that no living server has. What is new is left to whoever brought it for one more look: that one
   * is about to take it.
   */
  async #adoptOrphans({ atOnce }: { atOnce: boolean }): Promise<string[]> {
    const orphans = await orphansWithWork(this.#deps.db);
    const before = this.#orphans;
    this.#orphans = new Set(orphans);
    const taken: string[] = [];
    for (const id of orphans) {
      if ((atOnce || before.has(id)) && (await this.acquire(id)).kind === "this") taken.push(id);
    }
    return taken;
  }

  #has(term: Term, workspaceId: string): boolean {
    return this.#mineIn === term && !term.signal.aborted && this.#mine.has(workspaceId);
  }

  #remember(term: Term, workspaceId: string): void {
    if (this.#mineIn !== term) this.#mine = new Recent(maxKnown);
    this.#mineIn = term;
    this.#mine.set(workspaceId, true);
  }
}

async function ownerIn(db: Database, workspaceId: string, serverId: string): Promise<Owner> {
  const row = await db
    .selectFrom("workspaces")
    .innerJoin("servers", "servers.id", "workspaces.server_id")
    .select("servers.id as id")
    .where("workspaces.id", "=", workspaceId)
    .executeTakeFirst();
  if (row === undefined) return { kind: "nobody" };
  return row.id === serverId ? { kind: "this" } : { kind: "other", serverId: row.id };
}
