import { newId } from "@holdfast/protocol";
import type { Clock } from "../../ports/clock.ts";
import type { Database, SandboxState, Tx } from "../../ports/database.ts";
import type { Leases } from "../leases/leases.ts";
import { LeaseLostError } from "../leases/membership.ts";
import type { Workspace } from "../workspaces/workspace-rows.ts";

type Tags = Readonly<Record<string, string>>;

const environmentTag = "holdfast.environment";
/** Names the intent row, so that what a server made and never heard of finds its row. */
const rowTag = "holdfast.sandbox";
/** Unix seconds. */
const deadlineTag = "holdfast.deadline";

interface SandboxRowsDeps {
  db: Database;
  clock: Clock;
  leases: Leases;
  installationId: string;
}

/**
 * The rows of sandboxes: the intent first, then what came of it. What decides over a sandbox is written by the server
 * that works on its workspace, or not at all, and before the provider is asked.
 */
export class SandboxRows {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #installationId: string;
  readonly #leases: Leases;

  constructor({ db, clock, leases, installationId }: SandboxRowsDeps) {
    this.#db = db;
    this.#leases = leases;
    this.#clock = clock;
    this.#installationId = installationId;
  }

  /** What every sandbox of the workspace carries. */
  tagsOf(workspace: Workspace): Record<string, string> {
    return {
      "holdfast.installation": this.#installationId,
      "holdfast.account": workspace.accountId,
      "holdfast.workspace": workspace.id,
    };
  }

  /**
   * Before anything is asked of the provider; with the tags to make it with. What was wanted before and has not been
   * found is not wanted any more: should it still come to be, its tags name a row that has ended.
   */
  async want(
    workspace: Workspace,
    { environment, timeoutMs }: { environment: string; timeoutMs: number },
  ): Promise<{ rowId: string; tags: Record<string, string> }> {
    const nowMs = this.#clock.now();
    const rowId = newId("sandbox");
    const tags = {
      ...this.tagsOf(workspace),
      [rowTag]: rowId,
      [deadlineTag]: String(Math.ceil((nowMs + timeoutMs) / 1000)),
      ...(environment === "" ? {} : { [environmentTag]: environment }),
    };
    await this.#leases.held(workspace.id, async (tx) => {
      await tx
        .updateTable("sandboxes")
        .set({ state: "ended", updated_at: nowMs })
        .where("workspace_id", "=", workspace.id)
        .where("state", "!=", "ended")
        .where("provider_id", "is", null)
        .execute();
      await this.#insert(tx, workspace, { rowId, tags, state: "wanted", providerId: null });
    });
    return { rowId, tags };
  }

  /** Rejects with `LeaseLostError` when another server has decided over it by now. */
  async advance(workspaceId: string, row: { id: string; state: SandboxState; providerId?: string }): Promise<void> {
    const { id, state, providerId } = row;
    const advanced = await this.#leases.held(workspaceId, (tx) =>
      tx
        .updateTable("sandboxes")
        .set({ state, updated_at: this.#clock.now(), ...(providerId === undefined ? {} : { provider_id: providerId }) })
        .where("id", "=", id)
        .where("state", "!=", "ended")
        .returning("id")
        .executeTakeFirst(),
    );
    if (advanced === undefined) throw new LeaseLostError(`sandbox row ${id} was ended meanwhile`);
  }

  /** Decides that a sandbox ends, before it is ended. `row`: by its id, or the provider's. */
  async retire(workspaceId: string, row: { id: string } | { providerId: string }): Promise<void> {
    await this.#leases.held(workspaceId, async (tx) => {
      const update = tx
        .updateTable("sandboxes")
        .set({ state: "ended", updated_at: this.#clock.now() })
        .where("state", "!=", "ended");
      if ("id" in row) await update.where("id", "=", row.id).execute();
      else await update.where("provider_id", "=", row.providerId).execute();
    });
  }

  /** One that this server made; a row that is no more went with its account. */
  async isEnded(id: string): Promise<boolean> {
    const row = await this.#db.selectFrom("sandboxes").select("state").where("id", "=", id).executeTakeFirst();
    return row === undefined || row.state === "ended";
  }

  /** Its end was seen: whoever saw it may say so. */
  async noteEnd(id: string): Promise<void> {
    await this.#db
      .updateTable("sandboxes")
      .set({ state: "ended", updated_at: this.#clock.now() })
      .where("id", "=", id)
      .where("state", "!=", "ended")
      .execute();
  }

  /** The row of one that runs, made when there is none. */
  async adopt(
    workspace: Workspace,
    { providerId, tags }: { providerId: string; tags: Tags },
  ): Promise<{ rowId: string; environment: string }> {
    const known = await this.find(providerId, tags);
    if (known !== undefined) {
      await this.advance(workspace.id, { id: known.id, state: "running", providerId });
      const noted = JSON.parse(known.tags_json) as Record<string, string>;
      return { rowId: known.id, environment: noted[environmentTag] ?? "" };
    }
    const rowId = newId("sandbox");
    await this.#leases.held(workspace.id, (tx) =>
      this.#insert(tx, workspace, { rowId, tags, state: "running", providerId }),
    );
    return { rowId, environment: tags[environmentTag] ?? "" };
  }

  /** By the provider's id or, where nobody heard of that, by the tag that names the row. */
  async find(
    providerId: string,
    tags: Tags,
  ): Promise<{ id: string; state: SandboxState; tags_json: string } | undefined> {
    const row = () => this.#db.selectFrom("sandboxes").select(["id", "state", "tags_json"]);
    const known = await row().where("provider_id", "=", providerId).executeTakeFirst();
    const named = tags[rowTag];
    if (known !== undefined || named === undefined) return known;
    return await row()
      .where("id", "=", named)
      .where("workspace_id", "=", tags["holdfast.workspace"] ?? "")
      .where("provider_id", "is", null)
      .executeTakeFirst();
  }

  /** Whether a process is noted to live in it. */
  async hasProcess(providerId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom("processes")
      .select("id")
      .where("sandbox_id", "=", providerId)
      .where("state", "!=", "ended")
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  async #insert(
    tx: Tx,
    workspace: Workspace,
    row: { rowId: string; tags: Tags; state: SandboxState; providerId: string | null },
  ): Promise<void> {
    const nowMs = this.#clock.now();
    await tx
      .insertInto("sandboxes")
      .values({
        id: row.rowId,
        workspace_id: workspace.id,
        account_id: workspace.accountId,
        state: row.state,
        provider_id: row.providerId,
        tags_json: JSON.stringify(row.tags),
        created_at: nowMs,
        updated_at: nowMs,
      })
      .execute();
  }
}
