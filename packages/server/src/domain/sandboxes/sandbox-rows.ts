import { newId } from "@holdfast/protocol";
import type { Clock } from "../../ports/clock.ts";
import type { Database, SandboxState } from "../../ports/database.ts";
import type { Workspace } from "../sessions/workspaces.ts";

type Tags = Readonly<Record<string, string>>;

const environmentTag = "holdfast.environment";
/** Names the intent row, so that what a server made and never heard of finds its row. */
const rowTag = "holdfast.sandbox";
/** Unix seconds. */
export const deadlineTag = "holdfast.deadline";

/** The rows of sandboxes: the intent first, then what came of it. */
export class SandboxRows {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #installationId: string;

  constructor({ db, clock, installationId }: { db: Database; clock: Clock; installationId: string }) {
    this.#db = db;
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

  /** Before anything is asked of the provider; with the tags to make it with. */
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
    await this.#insert(workspace, { rowId, tags, state: "wanted", providerId: null });
    return { rowId, tags };
  }

  async mark(id: string, state: SandboxState, providerId?: string): Promise<void> {
    await this.#db
      .updateTable("sandboxes")
      .set({ state, updated_at: this.#clock.now(), ...(providerId === undefined ? {} : { provider_id: providerId }) })
      .where("id", "=", id)
      .execute();
  }

  /** The row of one that runs, made when there is none. */
  async adopt(
    workspace: Workspace,
    { providerId, tags }: { providerId: string; tags: Tags },
  ): Promise<{ rowId: string; environment: string }> {
    const known = await this.find(providerId, tags);
    if (known !== undefined) {
      await this.mark(known.id, "running", providerId);
      const noted = JSON.parse(known.tags_json) as Record<string, string>;
      return { rowId: known.id, environment: noted[environmentTag] ?? "" };
    }
    const rowId = newId("sandbox");
    await this.#insert(workspace, { rowId, tags, state: "running", providerId });
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
    workspace: Workspace,
    row: { rowId: string; tags: Tags; state: SandboxState; providerId: string | null },
  ): Promise<void> {
    const nowMs = this.#clock.now();
    await this.#db
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
