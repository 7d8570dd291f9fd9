import { withDeadline } from "@holdfast/std";
import type { Logger } from "pino";
import type { Database } from "../../ports/database.ts";
import type { SandboxProvider } from "../../ports/sandbox-provider.ts";
import type { Dispatcher } from "../leases/dispatcher.ts";
import type { Leases } from "../leases/leases.ts";
import { fromRow, type Workspace } from "../workspaces/workspace-rows.ts";
import type { LiveSandbox } from "./live-sandbox.ts";
import type { Sandboxes } from "./sandboxes.ts";
import { VisitedSandbox } from "./visited-sandbox.ts";

export interface SandboxCallsDeps {
  db: Database;
  leases: Leases;
  dispatcher: Dispatcher;
  sandboxes: Sandboxes;
  provider: SandboxProvider;
  installationId: string;
  logger: Logger;
  /** Resolves when nothing of the workspace is being saved to S3, by this server. */
  settled: (workspaceId: string) => Promise<void>;
  /** How long a stop waits for a save that runs. */
  saveMs?: number;
}

export interface KnownSandbox {
  rowId: string;
  providerId: string | null;
  workspace: Workspace;
}

const stopMs = 60_000;
/** What is being saved is read through the sandbox; longer nobody who wants it stopped waits. */
const defaultSaveMs = 20_000;
/** A visitor says again and again that it is there; one that is silent for so long is gone. */
const visitMs = 60_000;

/** What any server may want of a workspace's sandbox, whoever works on it. */
export class SandboxCalls {
  readonly #deps: SandboxCallsDeps;

  constructor(deps: SandboxCallsDeps) {
    this.#deps = deps;
    const { dispatcher } = deps;
    dispatcher.handle("sandbox.stop", ({ workspaceId, rowId }) => this.#stop(workspaceId, rowId));
    dispatcher.handle("sandbox.visit", ({ workspaceId }) => this.#visited(workspaceId));
    dispatcher.handle("workspace.settle", ({ workspaceId }) => deps.settled(workspaceId));
  }

  /** Ends the workspace's sandbox, with `rowId` only that one; its id, or undefined when none ran. */
  async stopOf({ id: workspaceId }: Workspace, rowId?: string): Promise<string | undefined> {
    const ask = { op: "sandbox.stop", workspaceId, ...(rowId === undefined ? {} : { rowId }) };
    const stopped = await this.#deps.dispatcher.dispatch(ask, { claim: true, timeoutMs: stopMs });
    return stopped.done && typeof stopped.result === "string" ? stopped.result : undefined;
  }

  /** Resolves when nothing of the workspace is being saved to S3. */
  async saved(workspaceId: string): Promise<void> {
    await this.#deps.dispatcher.dispatch({ op: "workspace.settle", workspaceId }, { claim: false, timeoutMs: stopMs });
  }

  /** To run commands in; another server's is visited. Undefined when it runs no more. */
  async running({ rowId, providerId, workspace }: KnownSandbox, signal: AbortSignal): Promise<LiveSandbox | undefined> {
    const { leases, sandboxes, provider, installationId } = this.#deps;
    if ((await leases.ownerOf(workspace.id)).kind !== "other") {
      const live = await sandboxes.adopt(workspace, signal);
      return live?.rowId === rowId ? live : undefined;
    }
    if (providerId === null) return undefined;
    const tags = { "holdfast.installation": installationId, "holdfast.workspace": workspace.id };
    const found = await provider.find(tags, signal);
    for (const each of found) if (each.id !== providerId) each.detach();
    const handle = found.find(({ id }) => id === providerId);
    if (handle === undefined) return undefined;
    return new VisitedSandbox({ handle, workspace, rowId, keep: () => this.#visit(workspace.id) }).live;
  }

  #visit(workspaceId: string): void {
    const { dispatcher, logger } = this.#deps;
    dispatcher
      .dispatch({ op: "sandbox.visit", workspaceId }, { claim: false })
      .catch((error) =>
        logger.warn({ err: error, workspace: workspaceId }, "a sandbox may be stopped while it is used"),
      );
  }

  /** Another server's client uses our sandbox. */
  async #visited(workspaceId: string): Promise<void> {
    const live = await this.#deps.sandboxes.current(workspaceId);
    const use = live?.use();
    setTimeout(() => use?.[Symbol.dispose](), visitMs).unref();
  }

  async #stop(workspaceId: string, rowId: unknown): Promise<string | null> {
    const { db, sandboxes } = this.#deps;
    const query = db.selectFrom("workspaces").selectAll().where("id", "=", workspaceId);
    const row = await query.executeTakeFirst();
    if (row === undefined) return null;
    const signal = AbortSignal.timeout(stopMs);
    const workspace = fromRow(row);
    // The workspace may have another one by now.
    if (rowId !== undefined && (await sandboxes.adopt(workspace, signal))?.rowId !== rowId) return null;
    await this.#saveEnds(workspaceId);
    return (await sandboxes.stopOf(workspace, signal)) ?? null;
  }

  /** Within a bound: a save that takes longer fails, says so, and is made again after the next turn. */
  async #saveEnds(workspaceId: string): Promise<void> {
    const { settled, logger, saveMs = defaultSaveMs } = this.#deps;
    try {
      await withDeadline(() => settled(workspaceId), { what: "the save that runs", timeoutMs: saveMs });
    } catch (error) {
      logger.warn({ err: error, workspace: workspaceId }, "a sandbox is stopped while its workspace is being saved");
    }
  }
}
