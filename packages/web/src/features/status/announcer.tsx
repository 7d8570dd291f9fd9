import { useEffect, useState } from "react";
import { type Row, textOf } from "../../state/rows.ts";
import type { SessionView } from "../../state/session-store.ts";
import css from "./announcer.module.css";

/** Long enough that a burst of events is one announcement. */
const settleMs = 700;

function wordsFor(view: SessionView): string {
  const last = view.rows.at(-1);
  if (!last) return "";
  if (view.activity.working) {
    if (last.kind === "tool" && last.state !== "running" && last.use)
      return `${last.use.name} ${last.state === "ok" ? "finished" : "failed"}`;
    return view.activity.doing ?? "Claude is working";
  }
  if (last.kind === "error") return `Error: ${last.event.error.message}`;
  const text = lastText(view.rows);
  return text === "" ? "Claude finished" : `Claude finished: ${text}`;
}

function lastText(rows: readonly Row[]): string {
  const row = rows.findLast((candidate) => candidate.kind === "text");
  if (row?.kind !== "text" || !row.event) return "";
  return (/^[^.!?\n]{0,160}[.!?]?/.exec(textOf(row.event.content).trim())?.[0] ?? "").trim();
}

/** Speaks for the transcript, which is silent: a screen reader would otherwise read every delta. */
export function Announcer({ view }: { view: SessionView }) {
  const [said, setSaid] = useState("");
  const words = wordsFor(view);
  useEffect(() => {
    const timer = setTimeout(() => setSaid(words), settleMs);
    return () => clearTimeout(timer);
  }, [words]);
  const asked = view.questions.at(-1)?.request.title;
  return (
    <>
      <output className={css.hidden} data-testid="announcer" aria-live="polite">
        {said}
      </output>
      <div role="alert" className={css.hidden} data-testid="announcer-asks">
        {asked && `Claude waits for your answer: ${asked}. Alt+P goes there.`}
      </div>
    </>
  );
}
