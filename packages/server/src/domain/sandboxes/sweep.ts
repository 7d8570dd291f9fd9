import { sleep } from "@holdfast/std";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";
import type { SandboxHandle, SandboxProvider } from "../../ports/sandbox-provider.ts";
import { fromRow } from "../sessions/workspaces.ts";
import type { Sandboxes } from "./sandboxes.ts";

export interface SweepDeps {
  db: Database;
  clock: Clock;
  provider: SandboxProvider;
  sandboxes: Sandboxes;
  installationId: string;
  logger: Logger;
  /** A sandbox is known to have ended. */
  onEnded: (providerId: string) => void;
  /** More to be tidied each time. */
  also?: (signal: AbortSignal) => Promise<void>;
}

/** One of ours that no row of ours knows is kept this long: someone may have put back an older database. */
const unknownKeptMs = 60 * 60 * 1000;

/**
 * Compares what the provider runs with what we know. Asks for nothing but what carries our installation's tag, so two
 * installations on one provider never touch each other's.
 */
export class Sweep {
  readonly #deps: SweepDeps;
  readonly #unknownSince = new Map<string, number>();
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;

  constructor(deps: SweepDeps) {
    this.#deps = deps;
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
      await this.once(signal).catch((error) => {
        if (!signal.aborted) this.#deps.logger.warn({ err: error }, "sandboxes could not be looked through");
      });
      // Rejects only when the server stops.
      await sleep(everyMs, signal).catch(() => undefined);
    }
  }

  /** Sandboxes that nobody uses get their idle timer; rows of those that are gone are settled. */
  async once(signal: AbortSignal): Promise<void> {
    const { provider, installationId, sandboxes, db } = this.#deps;
    const open = await db.selectFrom("sandboxes").selectAll().where("state", "!=", "ended").execute();
    const running = await provider.find({ "holdfast.installation": installationId }, signal);
    const known = new Map(open.map((row) => [row.provider_id, row.workspace_id]));
    for (const handle of running) {
      const workspaceId = known.get(handle.id);
      if (workspaceId !== undefined && sandboxes.holds(workspaceId)) handle.detach();
      else await this.#adopt(handle, signal);
    }
    const alive = new Set(running.map(({ id }) => id));
    for (const row of open) {
      // One that is being made has no id yet; who makes it settles it.
      if (sandboxes.holds(row.workspace_id) || (row.provider_id !== null && alive.has(row.provider_id))) continue;
      await this.#settle(row);
    }
    for (const id of this.#unknownSince.keys()) if (!alive.has(id)) this.#unknownSince.delete(id);
    await this.#deps.also?.(signal);
  }

  async #adopt(handle: SandboxHandle, signal: AbortSignal): Promise<void> {
    const { provider, installationId, sandboxes, db, logger } = this.#deps;
    try {
      const tags = await provider.tags(handle, signal);
      if (tags["holdfast.installation"] !== installationId) return;
      const row = await db
        .selectFrom("workspaces")
        .selectAll()
        .where("id", "=", tags["holdfast.workspace"] ?? "")
        .executeTakeFirst();
      if (row === undefined) return await this.#endUnknown(handle, signal);
      if (row.deleted_at !== null) return await handle.terminate(signal);
      if (sandboxes.holds(row.id)) return;
      const live = await sandboxes.adopt(fromRow(row), signal);
      if (live !== undefined) logger.info({ sandbox: live.id, workspace: row.id }, "adopted a sandbox of before");
    } finally {
      handle.detach();
    }
  }

  async #endUnknown(handle: SandboxHandle, signal: AbortSignal): Promise<void> {
    const now = this.#deps.clock.now();
    const since = this.#unknownSince.get(handle.id);
    if (since === undefined) {
      this.#unknownSince.set(handle.id, now);
      this.#deps.logger.warn({ sandbox: handle.id }, "a sandbox of ours has no workspace here; it ends in an hour");
    } else if (now - since >= unknownKeptMs) {
      await handle.terminate(signal);
    }
  }

  async #settle(row: { id: string; provider_id: string | null }): Promise<void> {
    const { db, clock, logger, onEnded } = this.#deps;
    await db
      .updateTable("sandboxes")
      .set({ state: "ended", updated_at: clock.now() })
      .where("id", "=", row.id)
      .where("state", "!=", "ended")
      .execute();
    logger.info({ row: row.id, sandbox: row.provider_id }, "a sandbox of before has ended");
    if (row.provider_id !== null) onEnded(row.provider_id);
  }
}
