/** Those who wait for a piece of work. */
export interface Audience {
  /** Aborts when nobody has waited for the time given. */
  readonly signal: AbortSignal;
  /** Waits until disposed. */
  join(): Disposable;
  /** The work has ended: nothing is stopped any more. */
  close(): void;
}

/** Work that begins with nobody waiting yet: whoever asked for it comes within the same time. */
export function createAudience(abandonedMs: number, onAbandoned: () => void): Audience {
  const stop = new AbortController();
  let waiting = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  const leave = () => {
    clearTimeout(timer);
    if (waiting > 0 || closed) return;
    timer = setTimeout(() => {
      onAbandoned();
      stop.abort(new Error("nobody waits for it any more"));
    }, abandonedMs);
  };
  leave();
  return {
    signal: stop.signal,
    join: () => {
      let here = true;
      waiting++;
      clearTimeout(timer);
      return {
        [Symbol.dispose]: () => {
          if (!here) return;
          here = false;
          waiting--;
          leave();
        },
      };
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}
