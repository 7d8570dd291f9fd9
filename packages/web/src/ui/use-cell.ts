import { useSyncExternalStore } from "react";
import type { Observable } from "../state/observable.ts";

export function useCell<T>(cell: Observable<T>): T {
  return useSyncExternalStore(cell.subscribe, cell.get);
}
