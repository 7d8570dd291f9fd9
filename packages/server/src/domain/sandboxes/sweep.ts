import { sleep } from "@holdfast/std";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";
import type { SandboxHandle, SandboxProvider } from "../../ports/sandbox-provider.ts";
import { fromRow } from "../workspaces/workspace-rows.ts";
import type { Sandboxes } from "./sandboxes.ts";
import { settleRow } from "./settle.ts";
import type { StrayEnder } from "./stray-ender.ts";
import type { Strays } from "./strays.ts";
import { newReport, type SweepReport } from "./sweep-report.ts";

export interface SweepDeps {
  db: Database;
  clock: Clock;
  provider: SandboxProvider;
  sandboxes: Sandboxes;
  strays: Strays;
  ender: StrayEnder;
  installationId: string;
  logger: Logger;
  /** A sandbox is known to have ended. */
  onEnded: (providerId: string) => void;
  /** Sessions whose turn or question was left without a process. */
  onOrphaned: (sessionIds: string[], workspaceId: string) => void;
  /** Whether this server may act on a workspace: it is its own, or nobody's. Default: it may. */
  owns?: (workspaceId: string) => Promise<boolean>;
  /** More to be tidied each time. */
  also?: (signal: AbortSignal) => Promise<void>;
}

/** The provider ends sandboxes at their time; one that lives this much longer is ended by us. */
const deadlineGraceMs = 5 * 60 * 1000;

/**
 * Compares what the provider runs with what we know, both ways. Asks for nothing but what carries our installation's
 * tag, so two installations on one provider never touch each other's. A list proves that a sandbox runs, never that
 * it does not: no row is settled but on the provider's word on that one sandbox.
 */
export class Sweep {
  readonly #deps: SweepDeps;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #last: SweepReport | undefined;

  constructor(deps: SweepDeps) {
    this.#deps = deps;
  }

  /** What the last round found. */
  get last(): SweepReport | undefined {
    return this.#last;
  }

  /** Now, and then again and again. */
  start(everyMs: number): void {
    this.#running ??= this.#loop(everyMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the server stops"));
    await this.#running;
  }

  async #loop(everyMs: number): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.once(signal);
      // Rejects only when the server stops.
      await sleep(everyMs, signal).catch(() => undefined);
    }
  }

  /** One round. Rejects for nothing: what fails is in the report, and tried again by the next one. */
  async once(signal: AbortSignal): Promise<SweepReport> {
    const report = newReport(this.#deps.clock.now());
    await this.#attempt(report, "the sandboxes could not be looked through", () => this.#compare(report, signal));
    const { also } = this.#deps;
    if (also !== undefined) await this.#attempt(report, "tidying failed", () => also(signal));
    if (!signal.aborted) this.#last = report;
    return report;
  }

  async #compare(report: SweepReport, signal: AbortSignal): Promise<void> {
    const { provider, installationId, db, strays, ender } = this.#deps;
    const open = await db.selectFrom("sandboxes").select("id").where("state", "!=", "ended").execute();
    const running = await provider.find({ "holdfast.installation": installationId }, signal);
    report.running = running.length;
    for (const handle of running) {
      await this.#attempt(report, `sandbox ${handle.id}`, () => this.#judge(handle, report, signal));
      handle.detach();
    }
    const alive = new Set(running.map(({ id }) => id));
    for (const { id } of open) {
      await this.#attempt(report, `row ${id}`, () => this.#checkRow(id, { alive, report, signal }));
    }
    for (const stray of await strays.list()) {
      await this.#attempt(report, `unknown sandbox ${stray.provider_id}`, async () => {
        if (!alive.has(stray.provider_id)) await ender.forgetIfGone(stray, signal);
        else await ender.endWhenDue(stray, signal);
      });
    }
    report.unknown = (await strays.list()).length;
  }

  async #attempt(report: SweepReport, what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#deps.logger.warn({ err: error }, `sweep: ${what}; it is tried again`);
      report.failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** One that runs: is it wanted, by whom? */
  async #judge(handle: SandboxHandle, report: SweepReport, signal: AbortSignal): Promise<void> {
    const { provider, installationId, sandboxes, strays, db, logger } = this.#deps;
    const tags = await provider.tags(handle, signal);
    if (tags["holdfast.installation"] !== installationId) return;
    const { "holdfast.workspace": workspaceId = "", "holdfast.account": accountId = "" } = tags;
    const row = await db.selectFrom("workspaces").selectAll().where("id", "=", workspaceId).executeTakeFirst();
    if (row === undefined || row.account_id !== accountId) {
      const { isNew } = await strays.see(handle.id, { accountId, workspaceId });
      if (isNew) logger.warn({ sandbox: handle.id, workspaceId }, "a sandbox of ours is unknown here: kept for now");
      return;
    }
    if (!(await this.#owns(workspaceId))) return;
    await strays.drop(handle.id);
    const holding = sandboxes.holding(workspaceId);
    if (holding.state === "busy") return;
    const why = await this.#unwanted(handle, { tags, deleted: row.deleted_at !== null });
    if (why !== undefined) return await this.#end(handle, { why, report, end: () => handle.terminate(signal) });
    if (holding.state === "held") {
      if (holding.live.id === handle.id) return;
      const why = `its workspace has ${holding.live.id}`;
      return await this.#end(handle, { why, report, end: () => sandboxes.endOther(fromRow(row), handle) });
    }
    const live = await sandboxes.adopt(fromRow(row), signal);
    if (live !== undefined) logger.info({ sandbox: live.id, workspace: row.id }, "adopted a sandbox of before");
  }

  async #unwanted(
    handle: SandboxHandle,
    { tags, deleted }: { tags: Record<string, string>; deleted: boolean },
  ): Promise<string | undefined> {
    if (deleted) return "its workspace was deleted";
    if (await this.#deps.sandboxes.hasEnded(handle.id, tags)) return "its row says that it has ended";
    const deadlineMs = Number(tags["holdfast.deadline"] ?? "0") * 1000;
    if (deadlineMs > 0 && this.#deps.clock.now() > deadlineMs + deadlineGraceMs) return "its time is over";
    return undefined;
  }

  async #end(
    handle: SandboxHandle,
    { why: reason, report, end }: { why: string; report: SweepReport; end: () => Promise<void> },
  ): Promise<void> {
    this.#deps.logger.warn({ sandbox: handle.id, reason }, "a sandbox that nobody wants is ended");
    await end();
    report.ended.push({ id: handle.id, reason });
    this.#deps.onEnded(handle.id);
  }

  /** A row that says that its sandbox lives, or is about to. */
  async #checkRow(
    id: string,
    { alive, report, signal }: { alive: Set<string>; report: SweepReport; signal: AbortSignal },
  ): Promise<void> {
    const { db, sandboxes, provider } = this.#deps;
    const row = await db
      .selectFrom("sandboxes")
      .select(["id", "workspace_id", "provider_id"])
      .where("id", "=", id)
      .where("state", "!=", "ended")
      .executeTakeFirst();
    if (row === undefined || !(await this.#owns(row.workspace_id))) return;
    const holding = sandboxes.holding(row.workspace_id);
    // Who makes, ends or holds it settles it.
    if (holding.state === "busy" || (holding.state === "held" && holding.live.rowId === id)) return;
    // Without an id nobody makes it any more. If it still comes to be, its tags name a row that has ended.
    if (row.provider_id !== null) {
      if (alive.has(row.provider_id)) return;
      if ((await provider.look(row.provider_id, signal)) === "running") return;
    }
    await settleRow(this.#deps, row);
    report.settled.push(row.provider_id ?? row.id);
  }

  async #owns(workspaceId: string): Promise<boolean> {
    return (await this.#deps.owns?.(workspaceId)) ?? true;
  }
}
