/** A value outside React that components watch with `useSyncExternalStore`. */
export interface Observable<T> {
  get: () => T;
  subscribe: (listener: () => void) => () => void;
}

export interface Cell<T> extends Observable<T> {
  /** Tells the listeners only when the value is another one (by identity). */
  set: (next: T) => void;
}

export function cell<T>(initial: T): Cell<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener();
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
