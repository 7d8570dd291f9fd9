/** `setTimeout` counts no further, 24.8 days: a longer wait would be over at once. */
const longestMs = 2 ** 31 - 1;

export interface Timer extends Disposable {
  /** Lets the process end although the timer runs. */
  unref(): Timer;
}

/** Calls `fire` once after `ms` milliseconds, however many: in stretches, where one timer is too short. */
export function startTimer(ms: number, fire: () => void): Timer {
  const endMs = performance.now() + ms;
  let referenced = true;
  let current: ReturnType<typeof setTimeout>;
  const arm = (leftMs: number) => {
    current = setTimeout(
      () => {
        const stillMs = endMs - performance.now();
        if (leftMs > longestMs && stillMs > 0) arm(stillMs);
        else fire();
      },
      Math.min(leftMs, longestMs),
    );
    if (!referenced) release(current);
  };
  arm(ms);
  const timer: Timer = {
    unref: () => {
      referenced = false;
      release(current);
      return timer;
    },
    [Symbol.dispose]: () => clearTimeout(current),
  };
  return timer;
}

/** As `AbortSignal.timeout`, for any time; it keeps no process alive either. */
export function timeoutSignal(ms: number): AbortSignal {
  // It throws at fractions and at times that are over, which is what is left of a deadline.
  if (ms <= longestMs) return AbortSignal.timeout(Math.max(0, Math.ceil(ms)));
  const controller = new AbortController();
  startTimer(ms, () => {
    const error = new Error(`The operation took longer than ${ms} ms`);
    error.name = "TimeoutError";
    controller.abort(error);
  }).unref();
  return controller.signal;
}

/** In a browser a timer is a number, and keeps nothing alive. */
function release(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function")
    timer.unref();
}
