import { createContext, useCallback, useContext, useState, useSyncExternalStore } from "react";
import { type Cell, cell } from "../../state/observable.ts";
import type { SessionStore } from "../../state/session-store.ts";

/** What the reader unfolded, by row. Outside the rows: a row that scrolls out of view is unmounted. */
export type Folds = Cell<ReadonlyMap<string, boolean>>;

export interface TranscriptContextValue {
  session: SessionStore;
  folds: Folds;
  /** What was filled in and not sent, by row; like the folds it outlives the row's being in view. */
  forms: Map<string, unknown>;
  /** Back to the end, and on with what comes. */
  follow: () => void;
}

export const TranscriptContext = createContext<TranscriptContextValue | null>(null);

export function createFolds(): Folds {
  return cell<ReadonlyMap<string, boolean>>(new Map());
}

export function useTranscript(): TranscriptContextValue {
  const value = useContext(TranscriptContext);
  if (!value) throw new Error("rows live inside a Transcript");
  return value;
}

/** Whether a part is unfolded, and the way to change it. */
export function useFold(id: string, unfolded: boolean): [boolean, () => void] {
  const { folds } = useTranscript();
  const open = useSyncExternalStore(folds.subscribe, () => folds.get().get(id) ?? unfolded);
  const toggle = useCallback(() => folds.set(new Map(folds.get()).set(id, !open)), [folds, id, open]);
  return [open, toggle];
}

/** The text of a draft as it grows; the empty text when `id` is null. */
export function useDraftText(id: string | null): string {
  const { session } = useTranscript();
  return useSyncExternalStore(session.drafts.subscribe, () => (id === null ? "" : session.draftText(id)));
}

/** State of a form that stays when its row scrolls out of view. */
export function useKept<T>(id: string, initial: T): [T, (next: T) => void] {
  const { forms } = useTranscript();
  const [value, setValue] = useState(() => (forms.has(id) ? (forms.get(id) as T) : initial));
  const set = useCallback(
    (next: T) => {
      forms.set(id, next);
      setValue(next);
    },
    [forms, id],
  );
  return [value, set];
}
