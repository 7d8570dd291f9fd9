import { AppError, type Sandbox } from "@holdfast/protocol";
import type { Database } from "../../ports/database.ts";
import { afterPage, type Page, type PageRequest, toPage } from "../paging.ts";
import { decodeText } from "../text.ts";
import { workspaceLabel } from "../workspaces/label.ts";
import { fromRow } from "../workspaces/workspace-rows.ts";
import type { LiveSandbox } from "./live-sandbox.ts";
import type { SandboxCalls } from "./sandbox-calls.ts";
import type { StrayEnder } from "./stray-ender.ts";
import type { Stray, Strays } from "./strays.ts";

/** Who asks. The administrator also sees sandboxes that no account here has. */
export interface Asking {
  accountId: string;
  isAdmin: boolean;
}

interface Deps {
  db: Database;
  calls: SandboxCalls;
  strays: Strays;
  ender: StrayEnder;
}

/** The provider's ids; ours begin with `sbx_`. */
const isStrayId = (id: string) => id.startsWith("sb-");

/** The sandboxes of an account, as its owner sees them. */
export class SandboxDirectory {
  readonly #db: Database;
  readonly #calls: SandboxCalls;
  readonly #strays: Strays;
  readonly #ender: StrayEnder;

  constructor({ db, calls, strays, ender }: Deps) {
    this.#db = db;
    this.#calls = calls;
    this.#strays = strays;
    this.#ender = ender;
  }

  /** Those that have not ended, oldest first; then, for the administrator, unknown ones. */
  async list({ accountId, isAdmin }: Asking, page: PageRequest): Promise<Page<Sandbox>> {
    const last = afterPage(page, "sandboxes");
    const wanted = page.limit + 1;
    const views: Sandbox[] = [];
    if (last === undefined || !isStrayId(last)) {
      let query = this.#rows(accountId).where("sandboxes.state", "!=", "ended");
      if (last !== undefined) query = query.where("sandboxes.id", ">", last);
      views.push(...(await query.orderBy("sandboxes.id").limit(wanted).execute()).map(toView));
    }
    if (isAdmin && views.length < wanted) {
      const after = last !== undefined && isStrayId(last) ? { after: last } : {};
      views.push(...(await this.#strays.list({ ...after, limit: wanted - views.length })).map(strayView));
    }
    return toPage(views, { of: "sandboxes", limit: page.limit });
  }

  /** `id` is ours or the provider's. */
  async get({ accountId, isAdmin }: Asking, id: string): Promise<Sandbox> {
    const stray = isAdmin ? await this.#strays.get(id) : undefined;
    return stray === undefined ? toView(await this.#row(accountId, id)) : strayView(stray);
  }

  /** Ends it, together with whatever runs in it; the workspace stays. Safe to repeat. */
  async stop(asking: Asking, id: string, signal: AbortSignal): Promise<Sandbox> {
    const stray = asking.isAdmin ? await this.#strays.get(id) : undefined;
    if (stray !== undefined) {
      await this.#ender.endNow(id, signal);
      return { ...strayView(stray), state: "ended" };
    }
    const row = await this.#row(asking.accountId, id);
    if (row.state !== "ended") await this.#calls.stopOf(row.workspace, row.id);
    return await this.get(asking, row.id);
  }

  /** Throws `sandbox_ended` when it runs no more. */
  async running(accountId: string, id: string, signal: AbortSignal): Promise<LiveSandbox> {
    const row = await this.#row(accountId, id);
    const { id: rowId, provider_id: providerId, workspace } = row;
    const known = { rowId, providerId, workspace };
    const live = row.state === "ended" ? undefined : await this.#calls.running(known, signal);
    if (live === undefined) throw new AppError("sandbox_ended");
    return live;
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
    unknown: null,
  };
}

function strayView(stray: Stray): Sandbox {
  return {
    id: stray.provider_id,
    provider_id: stray.provider_id,
    workspace: stray.workspace_id,
    workspace_id: stray.workspace_id,
    state: "unknown",
    created_at: new Date(stray.first_seen_at).toISOString(),
    unknown: {
      account_id: stray.account_id,
      kept_until: new Date(stray.next_try_at).toISOString(),
      detail: stray.detail === null ? null : decodeText(stray.detail),
    },
  };
}
