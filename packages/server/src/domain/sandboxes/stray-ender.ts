import { isId } from "@holdfast/protocol";
import type { Logger } from "pino";
import type { SandboxHandle, SandboxProvider } from "../../ports/sandbox-provider.ts";
import type { Stray, Strays } from "./strays.ts";

/** Saves a sandbox's workspace to S3, as after a turn. */
export type SaveStray = (
  from: { accountId: string; workspaceId: string; handle: SandboxHandle },
  signal: AbortSignal,
) => Promise<{ saved: true; where: string } | { saved: false; reason: string }>;

export interface StrayEnderDeps {
  strays: Strays;
  provider: SandboxProvider;
  installationId: string;
  save: SaveStray;
  logger: Logger;
  /** A sandbox is known to have ended. */
  onEnded: (providerId: string) => void;
}

const againAfterMs = 5 * 60 * 1000;

/** Ends sandboxes that nobody knows: late, and not before their workspace is in S3. */
export class StrayEnder {
  readonly #deps: StrayEnderDeps;

  constructor(deps: StrayEnderDeps) {
    this.#deps = deps;
  }

  async forgetIfGone(stray: Stray, signal: AbortSignal): Promise<void> {
    const { provider, strays, onEnded } = this.#deps;
    if ((await provider.look(stray.provider_id, signal)) === "running") return;
    await strays.drop(stray.provider_id);
    onEnded(stray.provider_id);
  }

  /** One whose workspace cannot be saved stays, and its row says why. */
  async endWhenDue({ provider_id: id, account_id: accountId, workspace_id: workspaceId }: Stray, signal: AbortSignal) {
    const { strays, save, logger } = this.#deps;
    if (!(await strays.claim(id))) return;
    try {
      const handle = await this.#find(id, signal);
      if (handle === undefined) return await strays.keep(id, "It does not answer to its tags", againAfterMs);
      try {
        // The prefix of another account must not come out of a tag that somebody else wrote.
        if (!isId("account", accountId)) return await strays.keep(id, "Its tags name no account", againAfterMs);
        const outcome = await save({ accountId, workspaceId, handle }, signal);
        if (!outcome.saved) return await strays.keep(id, `Kept unsaved: ${outcome.reason}`, againAfterMs);
        logger.warn({ sandbox: id, where: outcome.where }, "an unknown sandbox was saved and is ended");
        await this.#terminate(handle, signal);
      } finally {
        handle.detach();
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      await strays.keep(id, `Not saved yet: ${why}`, againAfterMs);
      throw error;
    }
  }

  /** By the administrator's word: at once. Its volumes stay. */
  async endNow(id: string, signal: AbortSignal): Promise<void> {
    const handle = await this.#find(id, signal);
    if (handle === undefined) return await this.#deps.strays.drop(id);
    this.#deps.logger.warn({ sandbox: id }, "an unknown sandbox is ended by the administrator");
    try {
      await this.#terminate(handle, signal);
    } finally {
      handle.detach();
    }
  }

  async #terminate(handle: SandboxHandle, signal: AbortSignal): Promise<void> {
    await handle.terminate(signal);
    await this.#deps.strays.drop(handle.id);
    this.#deps.onEnded(handle.id);
  }

  async #find(id: string, signal: AbortSignal): Promise<SandboxHandle | undefined> {
    const { provider, installationId } = this.#deps;
    const found = await provider.find({ "holdfast.installation": installationId }, signal);
    for (const each of found) if (each.id !== id) each.detach();
    return found.find((each) => each.id === id);
  }
}
