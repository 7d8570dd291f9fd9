import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** One timer for every elapsed time on the page, and none when there is nothing to count. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    for (const each of [...listeners]) each();
  }, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

const never = () => () => undefined;

/** Now, in ms since the epoch, rounded down to `stepMs`. Changes while `active`; 0 otherwise. */
export function useNow(active: boolean, stepMs = 1_000): number {
  const read = () => (active ? Math.floor(Date.now() / stepMs) * stepMs : 0);
  return useSyncExternalStore(active ? subscribe : never, read);
}
