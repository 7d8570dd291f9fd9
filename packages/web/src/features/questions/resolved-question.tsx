import { Markdown } from "../../markdown/markdown.tsx";
import type { QuestionRow } from "../../state/rows.ts";
import { Icon, type IconName } from "../../ui/icons.tsx";
import { useFold } from "../transcript/contexts.ts";
import css from "./questions.module.css";

/** What became of a question, and on whose word. */
export function ResolvedQuestion({ row }: { row: QuestionRow }) {
  const { request, resolved } = row;
  const { icon, words } = outcomeOf(row);
  const answers = Object.entries(resolved?.answers ?? {});
  return (
    <section
      className={css.resolved}
      data-kind="question"
      data-question="over"
      data-outcome={resolved?.outcome ?? "expired"}
      aria-label={`${request.title}: ${words}`}
    >
      <p className={css.outcome}>
        <Icon name={icon} />
        <span>
          {words}
          {resolved?.rule && (
            <>
              {" "}
              <code>{resolved.rule}</code>
            </>
          )}
          {resolved?.answered_by && <span className={css.note}> · {resolved.answered_by}</span>}
        </span>
      </p>
      {resolved?.message && <p className={css.message}>{resolved.message}</p>}
      {answers.length > 0 && (
        <dl className={css.answers}>
          {answers.map(([question, answer]) => (
            <div key={question}>
              <dt>{question}</dt>
              <dd>{answer}</dd>
            </div>
          ))}
        </dl>
      )}
      {request.kind === "plan" && request.plan && <Plan id={row.id} plan={request.plan} />}
    </section>
  );
}

function Plan({ id, plan }: { id: string; plan: string }) {
  const [open, toggle] = useFold(`${id}/plan`, false);
  return (
    <>
      <button type="button" className={css.more} aria-expanded={open} onClick={toggle}>
        {open ? "Hide the plan" : "Show the plan"}
      </button>
      {open && (
        <div className={css.plan}>
          <Markdown text={plan} streaming={false} />
        </div>
      )}
    </>
  );
}

function outcomeOf({ request, resolved }: QuestionRow): { icon: IconName; words: string } {
  const { kind, title } = request;
  switch (resolved?.outcome) {
    case "allowed":
      if (kind === "question") return { icon: "check", words: "Answered" };
      if (kind === "plan")
        return {
          icon: "check",
          words: resolved.mode === "acceptEdits" ? "Plan approved, edits accepted" : "Plan approved",
        };
      if (resolved.rule) return { icon: "check", words: "Allowed, from now on always:" };
      return { icon: "check", words: resolved.mode === "acceptEdits" ? "Allowed, and edits accepted" : "Allowed once" };
    case "denied":
      if (kind === "question") return { icon: "cross", words: `Not answered: ${title}` };
      if (kind === "plan" && !resolved.stopped) return { icon: "cross", words: "Keep planning" };
      return { icon: "cross", words: resolved.stopped ? "Denied, and the turn stopped" : "Denied" };
    case "withdrawn":
      return { icon: "info", words: `Claude asks no more: ${title}` };
    default:
      return { icon: "warning", words: `Expired without an answer: ${title}` };
  }
}
