import { AppError, type WorkspaceDeleted, type Workspace as WorkspaceView } from "@holdfast/protocol";
import { withDeadline } from "@holdfast/std";
import type { Selectable } from "kysely";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import { type Database, locked, lockName, type Schema, type Tx } from "../../ports/database.ts";
import type { EventLog } from "../../ports/event-log.ts";
import { afterPage, type Page, type PageRequest, toPage } from "../paging.ts";
import { deletedName, workspaceLabel } from "./label.ts";
import { defaultWorkspaceName, ensureWorkspace, fromRow, type Workspace, workspaceLock } from "./workspace-rows.ts";

export interface WorkspacesDeps {
  db: Database;
  log: EventLog;
  clock: Clock;
  installationId: string;
  logger: Logger;
  sandboxes: {
    /** Ends the workspace's sandbox; its id, or undefined when none ran. */
    stopOf(workspace: Workspace): Promise<string | undefined>;
  };
  /** Resolves when nothing of the workspace is being saved to S3. */
  saved: (workspaceId: string) => Promise<void>;
  deleteVolume: (name: string, signal: AbortSignal) => Promise<void>;
}

type Row = Selectable<Schema["workspaces"]>;

const saveTimeoutMs = 60_000;

const kept = [
  "The events of its sessions: they can be read as before.",
  "Copies that were saved to S3 below docs/{account}/: delete those in the bucket.",
];

/** The durable file trees of accounts. */
export class Workspaces {
  readonly #deps: WorkspacesDeps;

  constructor(deps: WorkspacesDeps) {
    this.#deps = deps;
  }

  /** Oldest first. */
  async list(accountId: string, page: PageRequest): Promise<Page<WorkspaceView>> {
    let query = this.#living(accountId);
    const last = afterPage(page, "workspaces");
    if (last !== undefined) query = query.where("id", ">", last);
    const rows = await query
      .orderBy("id")
      .limit(page.limit + 1)
      .execute();
    return toPage(rows.map(toView), { of: "workspaces", limit: page.limit });
  }

  async get(accountId: string, id: string): Promise<WorkspaceView> {
    return toView(await this.#row(accountId, id));
  }

  /** Its volumes come to be with its first sandbox. */
  async create(accountId: string, name: string): Promise<WorkspaceView> {
    const { db, clock, installationId } = this.#deps;
    return await db.transaction().execute(async (tx) => {
      await refuseTaken(tx, accountId, name);
      const made = await ensureWorkspace(tx, { accountId, name, installationId, nowMs: clock.now() });
      return toView(await tx.selectFrom("workspaces").selectAll().where("id", "=", made.id).executeTakeFirstOrThrow());
    });
  }

  async rename(accountId: string, id: string, name: string): Promise<WorkspaceView> {
    const row = await this.#row(accountId, id);
    if (row.name === name) return toView(row);
    if (row.name === defaultWorkspaceName) throw new AppError("workspace_is_default");
    await this.#deps.db.transaction().execute(async (tx) => {
      await refuseTaken(tx, accountId, name);
      await tx.updateTable("workspaces").set({ name }).where("id", "=", id).execute();
    });
    return toView({ ...row, name });
  }

  /**
   * Ends its sessions and its sandbox and deletes its volumes. Refused while a turn runs. What the provider does not
   * delete now is tried again by `purge`.
   */
  async delete(accountId: string, id: string, signal: AbortSignal): Promise<WorkspaceDeleted> {
    const row = await this.#row(accountId, id);
    if (row.name === defaultWorkspaceName) throw new AppError("workspace_is_default");
    const saving = { what: "the save of the workspace", timeoutMs: saveTimeoutMs, signal };
    // A save that takes longer fails with its sandbox, and says so in its session.
    await withDeadline(() => this.#deps.saved(id), saving).catch(() => undefined);
    const sessionsEnded = await this.#close(row);
    // From here on nobody can start anything in it.
    const { sandbox, purged } = await this.#clear(fromRow(row), signal);
    return {
      id,
      name: row.name,
      deleted: true,
      gone: {
        sandbox: sandbox ?? null,
        volumes: purged ? "deleted" : "pending",
        sessions_ended: sessionsEnded,
      },
      kept,
    };
  }

  /**
   * Every one of an account whose sessions are gone, the default one too. How many, the sandboxes that were ended, and
   * in words what is still there. Safe to repeat.
   */
  async deleteAll(accountId: string, signal: AbortSignal) {
    const result = { deleted: 0, sandboxes: [] as string[], pending: [] as string[] };
    const rows = await this.#deps.db
      .selectFrom("workspaces")
      .selectAll()
      .where("account_id", "=", accountId)
      .where("purged_at", "is", null)
      .execute();
    for (const row of rows) {
      signal.throwIfAborted();
      if (row.deleted_at === null) await this.#close(row);
      const { sandbox, purged } = await this.#clear(fromRow(row), signal);
      if (sandbox !== undefined) result.sandboxes.push(sandbox);
      if (purged) result.deleted++;
      else result.pending.push(`the volumes of the workspace "${workspaceLabel(row.name)}"`);
    }
    return result;
  }

  /** Tries again what `delete` could not do. */
  async purge(signal: AbortSignal): Promise<void> {
    const rows = await this.#deps.db
      .selectFrom("workspaces")
      .selectAll()
      .where("deleted_at", "is not", null)
      .where("purged_at", "is", null)
      .execute();
    for (const row of rows) await this.#clear(fromRow(row), signal);
  }

  /** In one transaction: no turn runs, no message waits, and none will be taken. */
  async #close(row: Row): Promise<number> {
    const { log, clock } = this.#deps;
    return await log.transact(async ({ tx, append }) => {
      // No session begins in it from here on, and none of its sessions takes a message.
      await tx.selectFrom("workspaces").select("id").where("id", "=", row.id).$call(locked(tx)).execute();
      const sessions = await tx
        .selectFrom("sessions")
        .select(["id", "status"])
        .where("workspace_id", "=", row.id)
        .orderBy("id")
        .$call(locked(tx))
        .execute();
      const waiting = await tx
        .selectFrom("messages")
        .innerJoin("sessions", "sessions.id", "messages.session_id")
        .select("messages.id")
        .where("sessions.workspace_id", "=", row.id)
        .where("messages.state", "!=", "done")
        .limit(1)
        .executeTakeFirst();
      if (waiting !== undefined || sessions.some(({ status }) => status === "running")) {
        throw new AppError("workspace_busy", { detail: `A turn runs in the workspace "${row.name}"` });
      }
      const open = sessions.filter(({ status }) => status !== "terminated");
      for (const { id: sessionId } of open) {
        const events = [{ type: "session.status_terminated" as const }];
        await append({ sessionId, events, session: { status: "terminated" } });
      }
      await tx
        .updateTable("workspaces")
        .set({ deleted_at: clock.now(), name: deletedName(row.name, row.id) })
        .where("id", "=", row.id)
        .where("deleted_at", "is", null)
        .execute();
      return open.length;
    });
  }

  async #clear(workspace: Workspace, signal: AbortSignal): Promise<{ sandbox: string | undefined; purged: boolean }> {
    const { db, clock, logger, sandboxes, deleteVolume, installationId } = this.#deps;
    let sandbox: string | undefined;
    try {
      sandbox = await sandboxes.stopOf(workspace);
      for (const volume of [workspace.filesVolume, workspace.stateVolume]) {
        // A copied database names the original installation's.
        if (volume.startsWith(`hf-${installationId}-`)) await deleteVolume(volume, signal);
        else logger.warn({ volume, workspace: workspace.id }, "another installation's volume is left alone");
      }
      await db.updateTable("workspaces").set({ purged_at: clock.now() }).where("id", "=", workspace.id).execute();
      return { sandbox, purged: true };
    } catch (error) {
      logger.warn(
        { err: error, workspace: workspace.id },
        "a deleted workspace's volumes are still there; trying again",
      );
      return { sandbox, purged: false };
    }
  }

  #living(accountId: string) {
    return this.#deps.db
      .selectFrom("workspaces")
      .selectAll()
      .where("account_id", "=", accountId)
      .where("deleted_at", "is", null);
  }

  async #row(accountId: string, id: string): Promise<Row> {
    const row = await this.#living(accountId).where("id", "=", id).executeTakeFirst();
    if (row === undefined) {
      throw new AppError("workspace_not_found", { detail: "This account has no workspace with this id" });
    }
    return row;
  }
}

async function refuseTaken(tx: Tx, accountId: string, name: string): Promise<void> {
  await lockName(tx, workspaceLock(accountId, name));
  const taken = await tx
    .selectFrom("workspaces")
    .select("id")
    .where("account_id", "=", accountId)
    .where("name", "=", name)
    .executeTakeFirst();
  if (taken !== undefined) throw new AppError("workspace_exists", { detail: `A workspace named "${name}" exists` });
}

function toView({ id, name, created_at: at }: Row): WorkspaceView {
  return { id, name, is_default: name === defaultWorkspaceName, created_at: new Date(at).toISOString() };
}
