import { retry } from "@holdfast/std";
import type { SandboxHandle } from "../../ports/sandbox-provider.ts";
import type { Workspace } from "../workspaces/workspace-rows.ts";
import { GuestAbsentError, GuestLink } from "./guest-link.ts";

/** A sandbox that cannot be reached for longer is given up by who waits; it ends by its own deadline. */
const outageMs = 10 * 60 * 1000;

/** The sandbox has ended; its workspace is as it was. */
export class SandboxGoneError extends Error {
  override name = "SandboxGoneError";
  /** In the provider's words, where it has any. */
  readonly why: string | undefined;
  constructor(sandboxId: string, why?: string) {
    super(`sandbox ${sandboxId} has ended${why === undefined ? "" : `: ${why}`}`);
    this.why = why;
  }
}

/** A sandbox that runs, with the one connection to its guest and the count of those who need it. */
export class LiveSandbox {
  readonly handle: SandboxHandle;
  readonly workspace: Workspace;
  /** Of its intent row. */
  readonly rowId: string;
  /** Which environment's image it was made from; empty: the installation's own. */
  readonly environment: string;
  readonly #gone = new AbortController();
  readonly #onUse: (users: number) => void;
  readonly #onLink: ((link: GuestLink) => void) | undefined;
  #link: Promise<GuestLink> | undefined;
  #users = 0;
  #turns = 0;
  #closed = false;

  constructor(options: {
    handle: SandboxHandle;
    workspace: Workspace;
    rowId: string;
    environment: string;
    onUse: (users: number) => void;
    /** A connection to its guest was made. */
    onLink?: (link: GuestLink) => void;
  }) {
    this.handle = options.handle;
    this.workspace = options.workspace;
    this.rowId = options.rowId;
    this.environment = options.environment;
    this.#onUse = options.onUse;
    this.#onLink = options.onLink;
  }

  get id(): string {
    return this.handle.id;
  }

  /** Aborts, with a `SandboxGoneError`, when the sandbox has ended. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Nobody here has anything to do with it any more. */
  get closed(): boolean {
    return this.#closed;
  }

  get users(): number {
    return this.#users;
  }

  /** As long as someone uses it, it is not stopped for being idle. */
  use(): Disposable {
    this.#onUse(++this.#users);
    let released = false;
    return {
      [Symbol.dispose]: () => {
        if (released) return;
        released = true;
        this.#onUse(--this.#users);
      },
    };
  }

  /** Turns that run in it. */
  get turns(): number {
    return this.#turns;
  }

  /** As `use`, by a turn: until it has ended nobody may have the sandbox replaced by another one. */
  useForTurn(): Disposable {
    const use = this.use();
    this.#turns++;
    let released = false;
    return {
      [Symbol.dispose]: () => {
        if (!released) this.#turns--;
        released = true;
        use[Symbol.dispose]();
      },
    };
  }

  /**
   * The connection to the guest, made anew when it was lost. The guest runs once the first process was started; rejects
   * with `GuestAbsentError` when it does not run.
   */
  async link(signal: AbortSignal): Promise<GuestLink> {
    const both = AbortSignal.any([signal, this.gone]);
    both.throwIfAborted();
    const current = this.#link;
    if (current !== undefined) {
      try {
        const link = await current;
        if (!link.isLost) return link;
      } catch {
        // That attempt's caller was told; this one tries for itself.
      }
      if (this.#link !== current) return await this.link(signal);
    }
    const opening = this.#open(both, 2).then(async (link) => {
      this.#onLink?.(link);
      return link;
    });
    this.#link = opening;
    // Whoever awaits it gets the failure; without anyone it is no unhandled one.
    opening.catch(() => undefined);
    return await opening;
  }

  /** A connection of its own, for whoever disposes of it. Rejects with `GuestAbsentError` when no guest is there. */
  async ownLink(signal: AbortSignal): Promise<GuestLink> {
    return await this.#open(AbortSignal.any([signal, this.gone]), 3);
  }

  /** An engine or a network that is away is waited for: the sandbox, and what runs in it, outlives that. */
  async #open(signal: AbortSignal, absentAttempts: number): Promise<GuestLink> {
    const until = performance.now() + outageMs;
    let absent = 0;
    return await retry(() => GuestLink.open(this.handle, signal), {
      attempts: Number.POSITIVE_INFINITY,
      baseMs: 100,
      maxMs: 2_000,
      signal,
      isTransient: (error) =>
        error instanceof GuestAbsentError ? ++absent < absentAttempts : performance.now() < until,
    });
  }

  /** Called when the provider says so, and why. */
  end(why?: string): void {
    this.#gone.abort(new SandboxGoneError(this.id, why));
    this.close();
  }

  /** Lets go of it without ending it. */
  close(): void {
    this.#closed = true;
    const link = this.#link;
    this.#link = undefined;
    link?.then((open) => open[Symbol.asyncDispose]()).catch(() => undefined);
    this.handle.detach();
  }
}
