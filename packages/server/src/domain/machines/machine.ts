import { GuestAbsentError, type GuestLink } from "../sandboxes/guest-link.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { fenceGuest } from "./guest-fence.ts";

/** A workspace's running sandbox in the hands of somebody who wants something done in it. */
export class Machine implements Disposable {
  readonly sandbox: LiveSandbox;
  readonly #use: Disposable | undefined;

  /** `counts`: as long as this is held, the sandbox is not idle. */
  constructor(sandbox: LiveSandbox, { counts }: { counts: boolean }) {
    this.sandbox = sandbox;
    this.#use = counts ? sandbox.use() : undefined;
  }

  /** A connection of its own to the guest, which is started where it does not run. For whoever disposes of it. */
  async link(signal: AbortSignal): Promise<GuestLink> {
    const { sandbox } = this;
    try {
      return await sandbox.ownLink(signal);
    } catch (error) {
      if (!(error instanceof GuestAbsentError)) throw error;
    }
    // Whatever is asked of it starts it; this changes nothing, as the workspace itself has no generations.
    await fenceGuest({ id: sandbox.workspace.id, generation: 0 }, { sandbox, signal });
    return await sandbox.ownLink(signal);
  }

  [Symbol.dispose](): void {
    this.#use?.[Symbol.dispose]();
  }
}
