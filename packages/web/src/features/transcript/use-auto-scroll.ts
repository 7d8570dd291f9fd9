import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { initialScroll, nearBottomPx, type ScrollInput, type ScrollState, scrollPolicy } from "./scroll-policy.ts";

/** A scroll event this soon after the reader's hand moved is the reader's doing (momentum extends it). */
const intentMs = 250;
/** A jump of this size away from the end that no layout explains is the reader's too (find in page, a script). */
const strayPx = 40;

/** How long the movement of an earlier gesture may go on after a jump to the end. */
const settleMs = 400;

const upKeys = new Set(["PageUp", "Home", "ArrowUp"]);
const scrollKeys = new Set([...upKeys, "PageDown", "End", "ArrowDown", " "]);

export interface AutoScroll {
  state: ScrollState;
  /** Moves to the end and stays there. */
  jump: () => void;
  /** Puts the view at the end if it follows. For whenever heights may have changed. */
  pin: () => void;
  /** Lets go: the reader does something higher up. */
  release: () => void;
}

export interface AutoScrollOptions {
  scroller: RefObject<HTMLElement | null>;
  content: RefObject<HTMLElement | null>;
  /** Rows shown; more of them at the end count as unseen. */
  rowCount: number;
  lastRowId: string | undefined;
  /** Moves to the first row, for the Home key: its height is only known on the way. */
  toStart: () => void;
  /** Changes when the user sends something. */
  sentCount: number;
}

const maxTop = (el: HTMLElement) => el.scrollHeight - el.clientHeight;

/** Binds `scrollPolicy` to a real scroller. */
export function useAutoScroll(options: AutoScrollOptions): AutoScroll {
  const { scroller, content, rowCount, lastRowId, toStart, sentCount } = options;
  const [state, setState] = useState(initialScroll);
  const current = useRef(initialScroll);
  const feed = useCallback((input: ScrollInput) => {
    const next = scrollPolicy(current.current, input);
    if (next === current.current) return;
    current.current = next;
    setState(next);
  }, []);
  const pin = useCallback(() => {
    const el = scroller.current;
    if (el && current.current.following && maxTop(el) - el.scrollTop > 0.5) el.scrollTop = el.scrollHeight;
  }, [scroller]);
  const jumpedAt = useRef(Number.NEGATIVE_INFINITY);
  const jump = useCallback(() => {
    jumpedAt.current = performance.now();
    feed({ type: "jumped" });
    pin();
  }, [feed, pin]);
  // What still moves after a jump is the end of an earlier gesture (a fling, an animated PageUp), not a new wish.
  const holdJump = useCallback(() => {
    if (!current.current.following || performance.now() - jumpedAt.current > settleMs) return false;
    pin();
    return true;
  }, [pin]);
  const release = useCallback(() => {
    const el = scroller.current;
    // Where everything fits there is nothing to let go of.
    if (el && maxTop(el) > 1) feed({ type: "released" });
  }, [scroller, feed]);

  useReaderIntent(scroller, { feed, release, jump, holdJump, toStart });
  useCountedRows(rowCount, lastRowId, feed);

  const sentBefore = useRef(sentCount);
  useLayoutEffect(() => {
    if (sentCount > sentBefore.current) feed({ type: "sent" });
    sentBefore.current = sentCount;
    pin();
  });

  useLayoutEffect(() => {
    const observer = new ResizeObserver(pin);
    if (scroller.current) observer.observe(scroller.current);
    if (content.current) observer.observe(content.current);
    return () => observer.disconnect();
  }, [scroller, content, pin]);

  return { state, jump, pin, release };
}

function useCountedRows(rowCount: number, lastRowId: string | undefined, feed: (input: ScrollInput) => void): void {
  const before = useRef({ rowCount, lastRowId });
  useLayoutEffect(() => {
    const added = lastRowId === before.current.lastRowId ? 0 : Math.max(1, rowCount - before.current.rowCount);
    before.current = { rowCount, lastRowId };
    if (added > 0) feed({ type: "rows", added });
  }, [rowCount, lastRowId, feed]);
}

interface IntentHandlers {
  feed: (input: ScrollInput) => void;
  release: () => void;
  jump: () => void;
  /** True when a jump was just made: the view is at the end again, and the movement means nothing. */
  holdJump: () => boolean;
  toStart: () => void;
}

function useReaderIntent(scroller: RefObject<HTMLElement | null>, handlers: IntentHandlers): void {
  const { feed, release, jump, holdJump, toStart } = handlers;
  useEffect(() => {
    const el = scroller.current;
    if (!el) return;
    const listeners = new AbortController();
    const on = { signal: listeners.signal, passive: true };
    let intentUntil = 0;
    let dragging = false;
    let lastTop = el.scrollTop;
    const intend = () => {
      intentUntil = performance.now() + intentMs;
    };
    el.addEventListener(
      "wheel",
      (event) => {
        intend();
        if (event.deltaY < 0) release();
      },
      on,
    );
    el.addEventListener("touchmove", intend, on);
    el.addEventListener(
      "keydown",
      (event) => {
        if (!scrollKeys.has(event.key) || event.target instanceof HTMLButtonElement) return;
        intend();
        if (upKeys.has(event.key)) release();
        if (event.key === "End") jump();
        if (event.key === "Home") toStart();
      },
      on,
    );
    // On the scroller itself, not on its content: that is its scroll bar.
    el.addEventListener(
      "pointerdown",
      (event) => {
        dragging = event.target === el;
      },
      on,
    );
    addEventListener(
      "pointerup",
      () => {
        dragging = false;
      },
      on,
    );
    document.addEventListener(
      "selectionchange",
      () => {
        const selection = getSelection();
        if (selection && !selection.isCollapsed && el.contains(selection.anchorNode)) release();
      },
      on,
    );
    el.addEventListener(
      "scroll",
      () => {
        const top = el.scrollTop;
        const moved = top - lastTop;
        const distancePx = maxTop(el) - top;
        const clamped = maxTop(el) < lastTop;
        lastTop = top;
        if (moved === 0 || holdJump()) return;
        const intended = dragging || performance.now() < intentUntil;
        if (intended) intend();
        const strayUp = moved < -strayPx && distancePx > nearBottomPx && !clamped;
        const strayDown = moved > strayPx && distancePx <= 1;
        const direction = moved < 0 ? "up" : "down";
        feed({ type: "scrolled", distancePx, direction, byReader: (intended && !clamped) || strayUp || strayDown });
      },
      on,
    );
    return () => listeners.abort();
  }, [scroller, feed, release, jump, holdJump, toStart]);
}
