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
const nowSeconds = () => Math.floor(Date.now() / 1_000);

/** Now, in whole seconds as ms since the epoch. Changes once a second while `active`. */
export function useNow(active: boolean): number {
  return useSyncExternalStore(active ? subscribe : never, active ? nowSeconds : () => 0) * 1_000;
}
