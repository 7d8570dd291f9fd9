import type { SandboxHandle } from "../../ports/sandbox-provider.ts";
import type { Workspace } from "../workspaces/workspace-rows.ts";
import { LiveSandbox } from "./live-sandbox.ts";

export interface VisitedSandboxOptions {
  handle: SandboxHandle;
  workspace: Workspace;
  rowId: string;
  /** Tells the server that has it that it is used; called again and again meanwhile. */
  keep: () => void;
}

const keepEveryMs = 20_000;

/** A sandbox of another server, while a client of this one uses it. It is never ended from here. */
export class VisitedSandbox {
  readonly live: LiveSandbox;
  readonly #keep: () => void;
  readonly #left = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor({ handle, workspace, rowId, keep }: VisitedSandboxOptions) {
    this.#keep = keep;
    this.live = new LiveSandbox({ handle, workspace, rowId, environment: "", onUse: (users) => this.#onUse(users) });
    handle.waitEnd(this.#left.signal).then(
      (why) => this.live.end(why),
      // Left, or the provider is away: whoever uses it notices.
      () => undefined,
    );
  }

  #onUse(users: number): void {
    clearInterval(this.#timer);
    if (users > 0) {
      this.#keep();
      this.#timer = setInterval(this.#keep, keepEveryMs);
      return;
    }
    this.#left.abort(new Error("the visit is over"));
    this.live.close();
  }
}
