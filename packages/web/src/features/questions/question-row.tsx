import { type KeyboardEvent, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { AnswerState } from "../../state/answers.ts";
import type { Answer } from "../../state/api.ts";
import type { QuestionRow } from "../../state/rows.ts";
import { Icon } from "../../ui/icons.tsx";
import { useTranscript } from "../transcript/contexts.ts";
import { ChoiceCard } from "./choice-card.tsx";
import { leaveQuestion } from "./go-to-question.ts";
import { PlanCard } from "./plan-card.tsx";
import css from "./questions.module.css";
import { ResolvedQuestion } from "./resolved-question.tsx";
import { ToolCard } from "./tool-card.tsx";

/** Claude waits for somebody's word. Not modal: the focus stays where one types, and comes here by Alt+P. */
export function QuestionRowView({ row }: { row: QuestionRow }) {
  const { session, follow } = useTranscript();
  const card = useRef<HTMLElement>(null);
  const id = row.request.tool_use_id;
  const { states } = session.answers;
  const sent = useSyncExternalStore(states.subscribe, () => states.get().get(id));
  const answer = useCallback(
    (said: Omit<Answer, "tool_use_id">) => {
      session.answer({ tool_use_id: id, ...said });
      follow();
      if (card.current?.contains(document.activeElement)) leaveQuestion(card.current);
    },
    [session, id, follow],
  );
  const armed = useArmed();
  if (row.resolved || row.over) return <ResolvedQuestion row={row} />;
  const Card = row.request.kind === "question" ? ChoiceCard : row.request.kind === "plan" ? PlanCard : ToolCard;
  const busy = sent?.state === "sending" || sent?.state === "elsewhere";
  return (
    <section
      ref={card}
      className={css.card}
      data-kind="question"
      data-question={busy ? "answered" : "open"}
      data-for={row.request.kind}
      tabIndex={-1}
      aria-label={`Claude asks: ${row.request.title}`}
      aria-busy={sent?.state === "sending"}
      onKeyDown={onShortcut}
    >
      <h3 className={css.title}>
        <Icon name="warning" /> <span>{row.request.title}</span>
      </h3>
      <Card row={row} busy={busy || !armed} answer={answer} />
      <Sent sent={sent} />
    </section>
  );
}

/** A press that was meant for what stood there before the card came is no answer. */
const armMs = 400;

function useArmed(): boolean {
  const [armed, setArmed] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setArmed(true), armMs);
    return () => clearTimeout(timer);
  }, []);
  return armed;
}

const typedInto = "textarea, input:not([type=radio], [type=checkbox])";

/** Letters press the button that carries them; not while somebody types, and never Enter alone. */
function onShortcut(event: KeyboardEvent<HTMLElement>): void {
  const { target, key, ctrlKey, metaKey, altKey } = event;
  if (ctrlKey || metaKey || altKey || !(target instanceof HTMLElement) || target.matches(typedInto)) return;
  if (!/^[a-z]$/.test(key)) return;
  const button = event.currentTarget.querySelector<HTMLButtonElement>(`button[data-key="${key}"]:not(:disabled)`);
  if (!button) return;
  event.preventDefault();
  button.click();
}

function Sent({ sent }: { sent: AnswerState | undefined }) {
  return (
    <div role="status" className={css.sent} data-testid="answer-state">
      {sent?.state === "sending" && <p>Sending your answer…</p>}
      {sent?.state === "elsewhere" && <p>Answered elsewhere, or no longer open: what counted shows in a moment.</p>}
      {sent?.state === "failed" && <p className={css.failed}>Your answer was not taken. {sent.problem}</p>}
    </div>
  );
}
