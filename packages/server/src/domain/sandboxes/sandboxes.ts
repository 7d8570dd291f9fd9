import { AppError } from "@holdfast/protocol";
import { inBackground, pause, startTimer, type Timer, waitFor } from "@holdfast/std";
import type { Logger } from "pino";
import type { Clock } from "../../ports/clock.ts";
import type { Database } from "../../ports/database.ts";
import type { SandboxHandle, SandboxProvider, SandboxSpec } from "../../ports/sandbox-provider.ts";
import type { Leases } from "../leases/leases.ts";
import { LeaseLostError } from "../leases/membership.ts";
import { workspaceLabel } from "../workspaces/label.ts";
import type { Workspace } from "../workspaces/workspace-rows.ts";
import { LiveSandbox } from "./live-sandbox.ts";
import { filesMount, stateMount } from "./mounts.ts";
import { SandboxFinder } from "./sandbox-finder.ts";
import { SandboxRows } from "./sandbox-rows.ts";
import { tidyGuest } from "./tidy-guest.ts";

export interface SandboxesDeps {
  db: Database;
  clock: Clock;
  leases: Leases;
  provider: SandboxProvider;
  installationId: string;
  /** What every sandbox is made with beside image, volumes and tags. */
  spec: (workspace: Workspace) => Omit<SandboxSpec, "imageId" | "tags" | "volumes">;
  logger: Logger;
  idleMs: number;
  /** Whether something goes on in it although nobody here uses it. */
  isBusy?: (live: LiveSandbox, signal: AbortSignal) => Promise<boolean>;
  /** A sandbox has ended. */
  onEnded: (sandboxId: string) => void;
  /** One was made, or found. Rejects for nothing. */
  onStarted?: (live: LiveSandbox) => Promise<void>;
}

interface EnsureOptions {
  imageId: () => Promise<string>;
  /** Names the image; one that was made from another is replaced, unless a turn runs in it (`environment_busy`). */
  environment: string;
  signal: AbortSignal;
  onCreate?: () => void;
}

/** How long a sandbox may take to say whether something goes on in it. */
const askBusyMs = 5_000;

/** What this server has of a workspace's sandbox; `busy`: it is being found, made or ended. */
export type Holding = { state: "none" } | { state: "busy" } | { state: "held"; live: LiveSandbox };

/** The sandboxes of all workspaces: at most one each, made when it is needed, stopped when it is not. */
export class Sandboxes {
  readonly #deps: SandboxesDeps;
  readonly #rows: SandboxRows;
  readonly #finder: SandboxFinder;
  readonly #live = new Map<string, Promise<LiveSandbox>>();
  /** What those promises became. */
  readonly #watched = new Map<string, LiveSandbox>();
  readonly #idleTimers = new Map<string, Timer>();
  readonly #stopping = new Map<string, Promise<void>>();
  #closing = new AbortController();

  constructor(deps: SandboxesDeps) {
    this.#deps = deps;
    this.#rows = new SandboxRows(deps);
    const { provider, logger } = deps;
    this.#finder = new SandboxFinder({
      provider,
      logger,
      rows: this.#rows,
      terminate: (handle) => this.#terminate(handle),
    });
  }

  /** The workspace's sandbox if it runs already. */
  current(workspaceId: string): Promise<LiveSandbox> | undefined {
    return this.#live.get(workspaceId);
  }

  /** Those that run. */
  running(): LiveSandbox[] {
    return [...this.#watched.values()].filter((live) => !live.gone.aborted);
  }

  /** The workspace's sandbox; found or made. `signal` ends the waiting only: others may wait for the same one. */
  async ensure(workspace: Workspace, options: EnsureOptions): Promise<LiveSandbox> {
    const { signal, environment } = options;
    for (;;) {
      await waitFor(this.#stopping.get(workspace.id) ?? Promise.resolve(), signal);
      let making = this.#live.get(workspace.id);
      if (making === undefined) {
        const own = this.#findOrCreate(workspace, options);
        own.catch(() => this.#forget(workspace, own));
        this.#live.set(workspace.id, own);
        making = own;
      }
      const live = await waitFor(making, signal);
      if (live.environment === environment) return live;
      if (live.turns > 0) throw new AppError("environment_busy");
      this.#deps.logger.info({ sandbox: live.id, environment }, "another environment is wanted: stopping the sandbox");
      await this.#stop(live);
    }
  }

  /** The workspace's sandbox if one runs at the provider, and no other server has it; never makes one. */
  async adopt(workspace: Workspace, signal: AbortSignal): Promise<LiveSandbox | undefined> {
    const known = this.#live.get(workspace.id);
    if (known !== undefined) return await waitFor(known, signal);
    if ((await this.#deps.leases.acquire(workspace.id)).kind !== "this") return undefined;
    const found = await this.#finder.find(workspace, signal);
    // Someone else may have found or made it meanwhile, or ends it.
    const meanwhile = this.#live.get(workspace.id);
    if (meanwhile !== undefined || found[0] === undefined || this.#stopping.has(workspace.id)) {
      for (const each of found) each.detach();
      return meanwhile === undefined ? undefined : await waitFor(meanwhile, signal);
    }
    const adopting = this.#take(workspace, found[0], found.slice(1));
    this.#live.set(workspace.id, adopting);
    adopting.catch(() => this.#forget(workspace, adopting));
    return await waitFor(adopting, signal);
  }

  /** Ends the workspace's sandbox, whoever uses it; its id, or undefined when none ran. */
  async stopOf(workspace: Workspace, signal: AbortSignal): Promise<string | undefined> {
    await waitFor(this.#stopping.get(workspace.id) ?? Promise.resolve(), signal);
    const live = await this.adopt(workspace, signal);
    if (live === undefined) return undefined;
    await this.#stop(live);
    return live.id;
  }

  holding(workspaceId: string): Holding {
    const live = this.#watched.get(workspaceId);
    if (this.#stopping.has(workspaceId)) return { state: "busy" };
    if (!this.#live.has(workspaceId)) return { state: "none" };
    return live === undefined || live.gone.aborted ? { state: "busy" } : { state: "held", live };
  }

  /** Whether we noted that this sandbox has ended: its tokens are revoked, so it is of no use if it still runs. */
  async hasEnded(providerId: string, tags: Readonly<Record<string, string>>): Promise<boolean> {
    return (await this.#rows.find(providerId, tags))?.state === "ended";
  }

  /** Ends every sandbox of ours. */
  async stopAll(): Promise<void> {
    const all = await Promise.allSettled(this.#live.values());
    await Promise.all(all.map((each) => (each.status === "fulfilled" ? this.#stop(each.value) : undefined)));
  }

  /** Lets go of them all; they go on. Others may be taken in hand afterwards. */
  async letGo(reason: Error): Promise<void> {
    const closing = this.#closing;
    this.#closing = new AbortController();
    await this.#letGo(closing, reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#letGo(this.#closing, new Error("the server stops"));
  }

  async #letGo(closing: AbortController, reason: Error): Promise<void> {
    closing.abort(reason);
    for (const timer of this.#idleTimers.values()) timer[Symbol.dispose]();
    this.#idleTimers.clear();
    const all = [...this.#live.values()];
    this.#live.clear();
    this.#watched.clear();
    // One that was not made, or not found, is nothing to let go of.
    const letting = all.map((each) => each.then((live) => live.close()).catch(() => undefined));
    await Promise.all(letting);
  }

  async #findOrCreate(workspace: Workspace, { imageId, onCreate, environment }: EnsureOptions): Promise<LiveSandbox> {
    const signal = this.#closing.signal;
    this.#checkVolumes(workspace);
    const [found, ...more] = await this.#finder.find(workspace, signal);
    if (found !== undefined) return await this.#take(workspace, found, more);
    const image = await imageId();
    onCreate?.();
    const { provider, spec } = this.#deps;
    const parts = spec(workspace);
    const { rowId, tags } = await this.#rows.want(workspace, { environment, timeoutMs: parts.timeoutMs });
    let made: SandboxHandle | undefined;
    try {
      await this.#rows.advance(workspace.id, { id: rowId, state: "creating" });
      const volumes = { [filesMount]: workspace.filesVolume, [stateMount]: workspace.stateVolume };
      made = await provider.create({ ...parts, imageId: image, tags, volumes }, signal, (late) =>
        this.#endIfRetired(late, rowId),
      );
      await this.#rows.advance(workspace.id, { id: rowId, state: "running", providerId: made.id });
      return this.#watch(workspace, made, { rowId, environment });
    } catch (error) {
      // Whoever has the workspace now has decided over this one, or will: it carries the tags to be found by.
      if (!isLeaseLost(error)) await this.#rows.retire(workspace.id, { id: rowId }).catch(unlessLeaseLost);
      if (made !== undefined) await this.#endIfRetired(made, rowId);
      throw error;
    }
  }

  /** Volumes of another installation are not here: new ones of their names would be empty. */
  #checkVolumes({ name, filesVolume }: Workspace): void {
    if (filesVolume.startsWith(`hf-${this.#deps.installationId}-`)) return;
    throw new AppError("workspace_elsewhere", {
      detail: `The workspace "${workspaceLabel(name)}" was made by another installation: its files are in the volume ${filesVolume}`,
    });
  }

  /** One that came to be although it was given up, by us or by the server that has the workspace now. */
  async #endIfRetired(handle: SandboxHandle, rowId: string): Promise<void> {
    if (await this.#rows.isEnded(rowId)) await this.#terminate(handle);
    else handle.detach();
  }

  async #take(workspace: Workspace, found: SandboxHandle, others: SandboxHandle[]): Promise<LiveSandbox> {
    for (const other of others) {
      this.#deps.logger.warn({ sandbox: other.id, workspace: workspace.id, kept: found.id }, "a second one is ended");
      await this.endOther(workspace, other);
    }
    return this.#watch(workspace, found, await this.#rowOf(workspace, found));
  }

  /** One that is not, or no longer, the workspace's. Rejects with `LeaseLostError` when that is not ours to say. */
  async endOther(workspace: Workspace, handle: SandboxHandle): Promise<void> {
    await this.#rows.retire(workspace.id, { providerId: handle.id });
    await this.#terminate(handle);
  }

  #forget(workspace: Workspace, made: Promise<LiveSandbox>): void {
    if (this.#live.get(workspace.id) === made) this.#live.delete(workspace.id);
  }

  async #rowOf(workspace: Workspace, handle: SandboxHandle): Promise<{ rowId: string; environment: string }> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(30_000)]);
    const tags = await this.#deps.provider.tags(handle, signal);
    return await this.#rows.adopt(workspace, { providerId: handle.id, tags });
  }

  #watch(workspace: Workspace, handle: SandboxHandle, row: { rowId: string; environment: string }): LiveSandbox {
    const { db, logger } = this.#deps;
    const live = new LiveSandbox({
      handle,
      workspace,
      ...row,
      onUse: (users) => this.#onUse(live, users),
      onLink: (link) => {
        tidyGuest(db, link, logger).catch((error) =>
          logger.warn({ err: error, sandbox: live.id }, "a guest is untidy"),
        );
      },
    });
    this.#watched.set(workspace.id, live);
    this.#onUse(live, 0);
    inBackground(this.#deps.onStarted?.(live) ?? Promise.resolve(), (error) =>
      logger.error({ err: error, sandbox: live.id }, "what waits for a sandbox was not done"),
    );
    inBackground(this.#untilEnd(live), (error) =>
      logger.error({ err: error, sandbox: live.id }, "a sandbox's end was not dealt with"),
    );
    return live;
  }

  async #untilEnd(live: LiveSandbox): Promise<void> {
    const signal = AbortSignal.any([this.#closing.signal, live.gone]);
    let why: string | undefined;
    for (;;) {
      try {
        why = await live.handle.waitEnd(signal);
        break;
      } catch (error) {
        if (signal.aborted) return;
        // The engine is away for a moment: the sandbox outlives that.
        this.#deps.logger.warn({ err: error, sandbox: live.id }, "waiting for a sandbox's end failed; trying again");
        if (!(await pause(1_000, signal))) return;
      }
    }
    await this.#ended(live, why);
  }

  async #ended(live: LiveSandbox, why?: string): Promise<void> {
    const { workspace, rowId } = live;
    this.#idleTimers.get(workspace.id)?.[Symbol.dispose]();
    this.#idleTimers.delete(workspace.id);
    const current = await this.#live.get(workspace.id)?.catch(() => undefined);
    if (current === live) this.#live.delete(workspace.id);
    if (this.#watched.get(workspace.id) === live) this.#watched.delete(workspace.id);
    if (live.gone.aborted) return;
    live.end(why);
    this.#deps.logger.info({ sandbox: live.id, workspace: workspace.id, why }, "sandbox ended");
    await this.#rows.noteEnd(rowId).catch((error) => this.#deps.logger.error({ err: error }, "cannot note the end"));
    this.#deps.onEnded(live.id);
  }

  #onUse(live: LiveSandbox, users: number): void {
    const { id } = live.workspace;
    this.#idleTimers.get(id)?.[Symbol.dispose]();
    this.#idleTimers.delete(id);
    if (users > 0 || this.#closing.signal.aborted || live.gone.aborted || live.closed) return;
    const timer = startTimer(this.#deps.idleMs, () => {
      inBackground(this.#stopIdle(live, timer), (error) =>
        this.#deps.logger.warn({ err: error, sandbox: live.id }, "an idle sandbox was not stopped"),
      );
    });
    this.#idleTimers.set(id, timer.unref());
  }

  async #stopIdle(live: LiveSandbox, timer: Timer): Promise<void> {
    const { isBusy, logger } = this.#deps;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(askBusyMs)]);
    // One that cannot say so is idle.
    const busy = (await isBusy?.(live, signal).catch(() => false)) ?? false;
    // Somebody came meanwhile: who uses it last begins to count again.
    if (this.#idleTimers.get(live.workspace.id) !== timer) return;
    if (busy) return this.#onUse(live, live.users);
    logger.info({ sandbox: live.id }, "sandbox is idle: stopping it");
    await this.#stop(live);
  }

  /** Rejects with `LeaseLostError` when another server has the workspace by now: then it is that one's. */
  async #stop(live: LiveSandbox): Promise<void> {
    const { id } = live.workspace;
    this.#live.delete(id);
    const stopping = this.#rows
      .retire(id, { id: live.rowId })
      .then(() => this.#terminate(live.handle))
      .then(() => this.#ended(live));
    const settled = stopping.catch(() => undefined);
    this.#stopping.set(id, settled);
    try {
      await stopping;
    } catch (error) {
      if (!live.gone.aborted && !live.closed) this.#live.set(id, Promise.resolve(live));
      throw error;
    } finally {
      if (this.#stopping.get(id) === settled) this.#stopping.delete(id);
    }
  }

  async #terminate(handle: SandboxHandle): Promise<void> {
    try {
      await handle.terminate(AbortSignal.timeout(30_000));
    } catch (error) {
      this.#deps.logger.warn({ err: error, sandbox: handle.id }, "a sandbox could not be ended");
    }
  }
}

function isLeaseLost(error: unknown): boolean {
  return error instanceof LeaseLostError;
}

/** Another server has the workspace: what is to be said of it, that one says. */
function unlessLeaseLost(error: unknown): void {
  if (!isLeaseLost(error)) throw error;
}
