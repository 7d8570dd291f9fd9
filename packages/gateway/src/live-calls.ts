import type { SandboxTokenPayload } from "@holdfast/std";

interface LiveCall {
  readonly token: SandboxTokenPayload;
  readonly controller: AbortController;
}

/** The answers being given now, so that a revocation can cut them. */
export class LiveCalls {
  readonly #calls = new Set<LiveCall>();

  /** Registers a call until it is disposed; its signal aborts on `cut` or `abort`. */
  add(token: SandboxTokenPayload): Disposable & { controller: AbortController } {
    const call: LiveCall = { token, controller: new AbortController() };
    this.#calls.add(call);
    return {
      controller: call.controller,
      [Symbol.dispose]: () => {
        this.#calls.delete(call);
      },
    };
  }

  get size(): number {
    return this.#calls.size;
  }

  /** How many of a session are being answered. */
  ofSession(sessionId: string): number {
    return [...this.#calls].filter(({ token }) => token.ses === sessionId).length;
  }

  /** Aborts the calls whose token matches; says how many. */
  cut(matches: (token: SandboxTokenPayload) => boolean, reason: string): number {
    const hit = [...this.#calls].filter((call) => matches(call.token));
    for (const call of hit) call.controller.abort(new Error(reason));
    return hit.length;
  }
}
