import { retry } from "@holdfast/std";
import type { Logger } from "pino";
import { ProviderAwayError, type SandboxHandle, type SandboxProvider } from "../../ports/sandbox-provider.ts";
import type { Workspace } from "../workspaces/workspace-rows.ts";
import type { SandboxRows } from "./sandbox-rows.ts";

interface FinderDeps {
  provider: SandboxProvider;
  rows: SandboxRows;
  logger: Logger;
  terminate: (handle: SandboxHandle) => Promise<void>;
}

/** So long an engine that is being started again is waited for: the message that needs a sandbox has time. */
const outageMs = 2 * 60 * 1000;

/** Asks the provider which sandboxes of a workspace run. */
export class SandboxFinder {
  readonly #deps: FinderDeps;

  constructor(deps: FinderDeps) {
    this.#deps = deps;
  }

  /** First the one that a row and its processes name. Waits for a provider that is away. */
  async find(workspace: Workspace, signal: AbortSignal): Promise<SandboxHandle[]> {
    const until = performance.now() + outageMs;
    return await retry(() => this.#findNow(workspace, signal), {
      attempts: Number.POSITIVE_INFINITY,
      baseMs: 200,
      maxMs: 2_000,
      signal,
      isTransient: (error) => error instanceof ProviderAwayError && performance.now() < until,
    });
  }

  /** What we noted as ended is ended for good. */
  async #findNow(workspace: Workspace, signal: AbortSignal): Promise<SandboxHandle[]> {
    const { provider, rows, logger, terminate } = this.#deps;
    const found: { handle: SandboxHandle; rank: number }[] = [];
    for (const handle of await provider.find(rows.tagsOf(workspace), signal)) {
      if (!(await handle.isRunning(signal))) continue;
      const row = await rows.find(handle.id, await provider.tags(handle, signal));
      if (row?.state === "ended") {
        logger.warn({ sandbox: handle.id, row: row.id }, "a sandbox that was to end still runs: ending it");
        await terminate(handle);
        continue;
      }
      const rank = (await rows.hasProcess(handle.id)) ? 2 : row === undefined ? 0 : 1;
      found.push({ handle, rank });
    }
    return found.toSorted((a, b) => b.rank - a.rank).map(({ handle }) => handle);
  }
}
