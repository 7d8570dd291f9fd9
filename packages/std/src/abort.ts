import { startTimer } from "./timers.ts";

/** A promise that resolves after `ms` milliseconds, or rejects with the signal's reason as soon as it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      timer[Symbol.dispose]();
      reject(signal?.reason);
    };
    const timer = startTimer(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** `sleep` that does not throw: false when the signal aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, signal);
    return true;
  } catch (error) {
    if (!signal.aborted) throw error;
    return false;
  }
}

/** `promise`, unless the signal aborts first: then its reason is thrown, and what becomes of the promise is nobody's. */
export async function waitFor<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // Nobody awaits it when the signal comes first.
  promise.catch(() => undefined);
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    aborted.promise.catch(() => undefined);
  }
}

/** Says which step ran out of time; `name` is `TimeoutError`, as with `AbortSignal.timeout`. */
export class DeadlineError extends Error {
  override name = "TimeoutError";
  readonly timeoutMs: number;
  constructor(what: string, timeoutMs: number) {
    super(`${what} took longer than ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/**
 * Runs `work` with a signal that aborts when `signal` does or after `timeoutMs`. Rejects at once in both cases, even
 * when `work` does not heed its signal.
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  options: { what: string; timeoutMs: number; signal?: AbortSignal },
): Promise<T> {
  const controller = new AbortController();
  const onAbort = () => controller.abort(options.signal?.reason);
  if (options.signal?.aborted) onAbort();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const timer = startTimer(options.timeoutMs, () =>
    controller.abort(new DeadlineError(options.what, options.timeoutMs)),
  );
  const ended = Promise.withResolvers<never>();
  const onEnd = () => ended.reject(controller.signal.reason);
  controller.signal.addEventListener("abort", onEnd, { once: true });
  if (controller.signal.aborted) onEnd();
  try {
    return await Promise.race([work(controller.signal), ended.promise]);
  } finally {
    timer[Symbol.dispose]();
    options.signal?.removeEventListener("abort", onAbort);
    controller.signal.removeEventListener("abort", onEnd);
    // Nobody awaits it once the race is over; without a handler a late abort would be an unhandled rejection.
    ended.promise.catch(() => undefined);
  }
}

/** Whether `error` only says that a signal aborted. */
export function isAbort(error: unknown, signal?: AbortSignal): boolean {
  if (signal?.aborted && error === signal.reason) return true;
  return error instanceof Error && error.name === "AbortError";
}
