import { type ReactNode, type RefObject, useCallback, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { background } from "../../state/background.ts";
import type { Row } from "../../state/rows.ts";
import type { SessionStore } from "../../state/session-store.ts";
import { Icon } from "../../ui/icons.tsx";
import { useCell } from "../../ui/use-cell.ts";
import { goToQuestion } from "../questions/go-to-question.ts";
import { createFolds, TranscriptContext } from "./contexts.ts";
import { RowView } from "./row.tsx";
import css from "./transcript.module.css";
import { Typing } from "./typing.tsx";
import { useAutoScroll } from "./use-auto-scroll.ts";

/** Older messages are asked for when so little is left above the view. */
const loadAheadPx = 1_200;

export interface TranscriptProps {
  session: SessionStore;
  /** Shown when there is nothing to read. */
  empty: ReactNode;
}

/** The conversation: only the rows in view exist in the document. Mount it with the session's id as key. */
export function Transcript({ session, empty }: TranscriptProps) {
  const view = useCell(session.view);
  const { rows, questions, activity } = view;
  const [folds] = useState(createFolds);
  const [forms] = useState(() => new Map<string, unknown>());
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const list = useRef<VirtualizerHandle>(null);
  const [focusedId, setFocusedId] = useState<string | null>(null);
  const sentCount = countPending(rows);
  const toStart = useCallback(() => list.current?.scrollToIndex(0), []);
  const lastRowId = rows.at(-1)?.id;
  const scroll = useAutoScroll({ scroller, content, rowCount: rows.length, lastRowId, toStart, sentCount });
  const { jump } = scroll;
  const context = useMemo(() => ({ session, folds, forms, follow: jump }), [session, folds, forms, jump]);
  const shift = usePrepended(rows);
  const { following } = scroll.state;

  const maybeLoadOlder = useOlder(session, { scroller, following, rows });

  // The row with the focus stays mounted when it scrolls away: focus is never lost.
  const focusedAt = focusedId === null ? -1 : rows.findIndex((row) => row.id === focusedId);
  // So does an open question: it can be gone to at any time.
  const keepMounted = useMemo(() => {
    const open = questions.map((question) => rows.indexOf(question)).filter((at) => at >= 0);
    return focusedAt < 0 ? open : [...open, focusedAt];
  }, [focusedAt, questions, rows]);
  const answering = questions.some((question) => question.id === focusedId);
  const onFocus = (target: EventTarget) => {
    const id = rowOf(target);
    setFocusedId(id);
    // Whoever fills in a form does not want it to move with its own height.
    if (target instanceof Element && target.closest("[data-question=open]")) return scroll.release();
    if (id !== null && id !== rows.at(-1)?.id && target instanceof Element && target.matches(":focus-visible"))
      scroll.release();
  };

  return (
    <TranscriptContext value={context}>
      <div className={css.frame}>
        <div
          ref={scroller}
          className={css.scroller}
          data-testid="transcript"
          data-following={following}
          role="log"
          aria-live="off"
          aria-label="Conversation"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
          tabIndex={0}
          onFocus={(event) => onFocus(event.target)}
          onBlur={() => setFocusedId(null)}
          onScroll={maybeLoadOlder}
        >
          <div ref={content} className={css.content}>
            <h2 className={css.hidden}>Conversation</h2>
            {rows.length === 0 && view.phase === "ready" && !activity.typing ? empty : null}
            <Virtualizer
              ref={list}
              scrollRef={scroller}
              data={rows}
              shift={shift}
              bufferSize={400}
              keepMounted={keepMounted}
              onResize={scroll.pin}
            >
              {(row) => <RowView key={row.id} row={row} />}
            </Virtualizer>
            {activity.typing && <Typing still={activity.doing !== null} />}
          </div>
        </div>
        {view.loadingOlder && <p className={css.older}>Reading older messages…</p>}
        {!following && !answering && (
          <Jump asks={questions.length > 0} unseen={scroll.state.unseen} toLatest={scroll.jump} />
        )}
      </div>
    </TranscriptContext>
  );
}

/** Asks for older messages where few are left above the view; gives what looks whether it is so. */
function useOlder(
  session: SessionStore,
  {
    scroller,
    following,
    rows,
  }: { scroller: RefObject<HTMLDivElement | null>; following: boolean; rows: readonly Row[] },
): () => void {
  const maybeLoadOlder = useCallback(() => {
    const el = scroller.current;
    if (!el || !session.view.get().hasOlder || session.view.get().loadingOlder) return;
    const short = el.scrollHeight < el.clientHeight * 1.5;
    if (short || (!following && el.scrollTop < loadAheadPx)) background(session.loadOlder());
  }, [session, scroller, following]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: new rows may leave the view as short as before
  useLayoutEffect(maybeLoadOlder, [maybeLoadOlder, rows]);
  return maybeLoadOlder;
}

/** Back to where the reading goes on: a question that waits, else the latest. */
function Jump({ asks, unseen, toLatest }: { asks: boolean; unseen: number; toLatest: () => void }) {
  return (
    <button
      type="button"
      className={css.jump}
      data-testid="jump"
      data-asks={asks || undefined}
      onClick={asks ? goToQuestion : toLatest}
    >
      <Icon name={asks ? "warning" : "down"} />
      {asks ? " Claude waits for your answer" : ` Jump to latest${unseen > 0 ? ` (${unseen} new)` : ""}`}
    </button>
  );
}

/** They stand at the end, behind what is being written. */
function countPending(rows: readonly Row[]): number {
  let count = 0;
  while (rows.at(-1 - count)?.kind === "pending") count++;
  return count;
}

const rowOf = (target: EventTarget): string | null =>
  target instanceof Element ? (target.closest<HTMLElement>("[data-row]")?.dataset.row ?? null) : null;

/** Whether this render has rows before the first one of the last render: the list then keeps its place from the end. */
function usePrepended(rows: readonly Row[]): boolean {
  const first = useRef<string | undefined>(undefined);
  const firstId = rows[0]?.id;
  const before = first.current;
  useLayoutEffect(() => {
    first.current = firstId;
  }, [firstId]);
  return before !== undefined && firstId !== before && rows.some((row) => row.id === before);
}
