import { AppError, isAppError, type ProblemCode } from "@holdfast/protocol";
import { waitFor } from "@holdfast/std";
import { defaultEnvironmentId } from "../environments/default.ts";
import type { Dispatcher } from "../leases/dispatcher.ts";
import { LeaseLostError } from "../leases/membership.ts";
import { SandboxGoneError } from "../sandboxes/live-sandbox.ts";
import type { SandboxCalls } from "../sandboxes/sandbox-calls.ts";
import { fromRow, type Workspace } from "../workspaces/workspace-rows.ts";
import { ensureSandbox } from "./ensure-sandbox.ts";
import { MachineFailure } from "./failure.ts";
import { Machine } from "./machine.ts";
import type { MachineDeps, Told } from "./machine-deps.ts";
import { fixPermissions } from "./permission-step.ts";

/** What somebody wants a workspace's machine for, and whether that keeps it from being idle. */
const purposes = { terminal: { counts: true }, look: { counts: false } } as const;
export type Purpose = keyof typeof purposes;

export interface MachinesDeps extends MachineDeps {
  dispatcher: Dispatcher;
  calls: Pick<SandboxCalls, "running">;
  /** Aborts when the server stops. */
  closing: AbortSignal;
}

/** How the server that works on the workspace answers: JSON, as it may be another one. */
type Readied = { rowId: string; providerId: string } | { refused: { code: ProblemCode; detail: string } };

/** A sandbox with its image to be built first takes minutes. */
const readyMs = 15 * 60 * 1000;

/** Gives a workspace's machine to whoever asks, without a turn. */
export class Machines {
  readonly #deps: MachinesDeps;
  /** One for all who ask at once. */
  readonly #readying = new Map<string, Promise<Readied>>();

  constructor(deps: MachinesDeps) {
    this.#deps = deps;
    deps.dispatcher.handle("machine.ready", ({ workspaceId }) => this.#ready(workspaceId));
  }

  /**
   * The sandbox that runs, or a new one, its volumes made claudeuser's. `signal` ends the waiting only. Throws an
   * `AppError` when there can be none.
   */
  async open(workspace: Workspace, purpose: Purpose, signal: AbortSignal): Promise<Machine> {
    const ask = { op: "machine.ready", workspaceId: workspace.id };
    const asking = this.#deps.dispatcher.dispatch(ask, { claim: true, timeoutMs: readyMs });
    const { result } = (await waitFor(asking, signal)) as { result: Readied };
    if ("refused" in result) throw new AppError(result.refused.code, { detail: result.refused.detail });
    const live = await this.#deps.calls.running({ ...result, workspace }, signal);
    if (live === undefined) throw new AppError("sandbox_ended");
    return await this.#machine(live, purpose);
  }

  /** The workspace's machine if it has one that runs; none is made. */
  async find(workspace: Workspace, purpose: Purpose, signal: AbortSignal): Promise<Machine | undefined> {
    const row = await this.#deps.db
      .selectFrom("sandboxes")
      .select(["id", "provider_id"])
      .where("workspace_id", "=", workspace.id)
      .where("state", "=", "running")
      .orderBy("id", "desc")
      .limit(1)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const known = { rowId: row.id, providerId: row.provider_id, workspace };
    const live = await this.#deps.calls.running(known, signal);
    return live && (await this.#machine(live, purpose));
  }

  async #machine(live: Machine["sandbox"], purpose: Purpose): Promise<Machine> {
    // Another server's is let go of at the end of its use: that one has to be counted.
    const isOwn = (await this.#deps.sandboxes.current(live.workspace.id)) === live;
    return new Machine(live, { counts: purposes[purpose].counts || !isOwn });
  }

  #ready(workspaceId: string): Promise<Readied> {
    const known = this.#readying.get(workspaceId);
    if (known !== undefined) return known;
    const readying = this.#refusals(workspaceId, () => this.#make(workspaceId)).finally(() =>
      this.#readying.delete(workspaceId),
    );
    this.#readying.set(workspaceId, readying);
    return readying;
  }

  async #refusals(workspaceId: string, make: () => Promise<Readied>): Promise<Readied> {
    try {
      return await make();
    } catch (error) {
      // Then the one that has it is asked.
      if (error instanceof LeaseLostError) throw error;
      this.#deps.logger.warn({ err: error, workspace: workspaceId }, "a workspace's machine is not ready");
      return { refused: { code: codeOf(error), detail: error instanceof Error ? error.message : String(error) } };
    }
  }

  async #make(workspaceId: string): Promise<Readied> {
    const { sandboxes, closing } = this.#deps;
    const workspace = await this.#living(workspaceId);
    const signal = AbortSignal.any([closing, AbortSignal.timeout(readyMs)]);
    // No session's log is concerned.
    const told: Told = { append: () => Promise.resolve(), signal };
    // One that runs is taken as it is, whatever environment it has: somebody may work in it.
    const live = (await sandboxes.adopt(workspace, signal)) ?? (await this.#ensure(workspace, told));
    using _use = live.use();
    // The guest keeps generations by name; the workspace itself has none, and shuts nobody out.
    await fixPermissions(this.#deps, live, { ...told, lease: { id: workspace.id, generation: 0 } });
    await this.#living(workspaceId).catch(async (error) => {
      // Its volumes are being deleted.
      await sandboxes.stopOf(workspace, signal);
      throw error;
    });
    return { rowId: live.rowId, providerId: live.id };
  }

  async #ensure(workspace: Workspace, told: Told) {
    const environmentId = await this.#environmentOf(workspace.id);
    return await ensureSandbox(this.#deps, workspace, { ...told, environmentId });
  }

  async #living(workspaceId: string): Promise<Workspace> {
    const row = await this.#deps.db
      .selectFrom("workspaces")
      .selectAll()
      .where("id", "=", workspaceId)
      .where("deleted_at", "is", null)
      .executeTakeFirst();
    if (row === undefined) throw new AppError("workspace_not_found");
    return fromRow(row);
  }

  /** Of the session that was begun last: most likely the next turn's, which then needs no other sandbox. */
  async #environmentOf(workspaceId: string): Promise<string> {
    const row = await this.#deps.db
      .selectFrom("sessions")
      .select("environment_id")
      .where("workspace_id", "=", workspaceId)
      .orderBy("id", "desc")
      .limit(1)
      .executeTakeFirst();
    return row?.environment_id ?? defaultEnvironmentId;
  }
}

function codeOf(error: unknown): ProblemCode {
  if (error instanceof MachineFailure || isAppError(error)) return error.code;
  return error instanceof SandboxGoneError ? "sandbox_ended" : "sandbox_unavailable";
}
