import { AppError, type Sandbox } from "@holdfast/protocol";
import type { Database } from "../../ports/database.ts";
import { afterPage, type Page, type PageRequest, toPage } from "../paging.ts";
import { fromRow, type Workspace } from "../sessions/workspaces.ts";
import { workspaceLabel } from "../workspaces/label.ts";
import type { LiveSandbox } from "./live-sandbox.ts";
import type { Sandboxes } from "./sandboxes.ts";

/** The sandboxes of an account, as its owner sees them. */
export class SandboxDirectory {
  readonly #db: Database;
  readonly #sandboxes: Sandboxes;

  constructor({ db, sandboxes }: { db: Database; sandboxes: Sandboxes }) {
    this.#db = db;
    this.#sandboxes = sandboxes;
  }

  /** Those that have not ended, oldest first. */
  async list(accountId: string, page: PageRequest): Promise<Page<Sandbox>> {
    let query = this.#rows(accountId).where("sandboxes.state", "!=", "ended");
    const last = afterPage(page, "sandboxes");
    if (last !== undefined) query = query.where("sandboxes.id", ">", last);
    const rows = await query
      .orderBy("sandboxes.id")
      .limit(page.limit + 1)
      .execute();
    return toPage(rows.map(toView), { of: "sandboxes", limit: page.limit });
  }

  /** `id` is ours or the provider's. */
  async get(accountId: string, id: string): Promise<Sandbox> {
    return toView(await this.#row(accountId, id));
  }

  /** Ends it, together with whatever runs in it; the workspace stays. Safe to repeat. */
  async stop(accountId: string, id: string, signal: AbortSignal): Promise<Sandbox> {
    const row = await this.#row(accountId, id);
    if (row.state !== "ended") {
      const live = await this.#live(row.workspace, row.id, signal);
      if (live !== undefined) await this.#sandboxes.stopOf(row.workspace, signal);
    }
    return await this.get(accountId, row.id);
  }

  /** Throws `sandbox_ended` when it runs no more. */
  async running(accountId: string, id: string, signal: AbortSignal): Promise<LiveSandbox> {
    const row = await this.#row(accountId, id);
    const live = row.state === "ended" ? undefined : await this.#live(row.workspace, row.id, signal);
    if (live === undefined) throw new AppError("sandbox_ended");
    return live;
  }

  /** The workspace may have another one by now. */
  async #live(workspace: Workspace, rowId: string, signal: AbortSignal): Promise<LiveSandbox | undefined> {
    const live = await this.#sandboxes.adopt(workspace, signal);
    return live?.rowId === rowId ? live : undefined;
  }

  #rows(accountId: string) {
    return this.#db
      .selectFrom("sandboxes")
      .innerJoin("workspaces", "workspaces.id", "sandboxes.workspace_id")
      .select(["sandboxes.id", "sandboxes.provider_id", "sandboxes.state", "sandboxes.created_at", "workspace_id"])
      .select(["workspaces.name", "workspaces.files_volume", "workspaces.state_volume", "workspaces.account_id"])
      .where("sandboxes.account_id", "=", accountId);
  }

  async #row(accountId: string, id: string) {
    const row = await this.#rows(accountId)
      .where((eb) => eb.or([eb("sandboxes.id", "=", id), eb("sandboxes.provider_id", "=", id)]))
      .executeTakeFirst();
    if (row === undefined) throw new AppError("sandbox_not_found");
    return { ...row, workspace: fromRow({ ...row, id: row.workspace_id }) };
  }
}

function toView(row: {
  id: string;
  provider_id: string | null;
  state: Sandbox["state"];
  created_at: number;
  workspace_id: string;
  name: string;
}): Sandbox {
  return {
    id: row.id,
    provider_id: row.provider_id,
    workspace: workspaceLabel(row.name),
    workspace_id: row.workspace_id,
    state: row.state,
    created_at: new Date(row.created_at).toISOString(),
  };
}
