import { Markdown } from "../../markdown/markdown.tsx";
import { type PendingRow, type TextRow, type ThinkingRow, textOf, type UserRow } from "../../state/rows.ts";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { plural } from "./abbreviate.ts";
import { ClippedText } from "./clipped-text.tsx";
import { useDraftText, useFold, useTranscript } from "./contexts.ts";
import css from "./rows.module.css";

const userLines = 40;

export function UserRowView({ row }: { row: UserRow }) {
  const images = row.content.filter((block) => block.type === "image").length;
  const notes = [
    images > 0 && plural(images, "image"),
    row.edited && "edited",
    row.steered && "sent now: the turn before it was stopped",
    row.removed && "removed before Claude had it",
  ].filter(Boolean);
  return (
    <article
      className={css.user}
      data-kind="user"
      data-removed={row.removed || undefined}
      aria-label={row.removed ? "You, removed" : "You"}
    >
      <ClippedText id={row.id} text={textOf(row.content)} lines={userLines} />
      {notes.length > 0 && <p className={css.note}>{notes.join(" · ")}</p>}
    </article>
  );
}

/** A message of the user that the log does not have yet. */
export function PendingRowView({ row }: { row: PendingRow }) {
  const { session } = useTranscript();
  const { item } = row;
  return (
    <article className={css.user} data-kind="user" data-state={item.state} aria-label={`You, ${item.state}`}>
      <ClippedText id={row.id} text={item.text} lines={userLines} />
      {item.state === "sending" ? (
        <p className={css.note}>sending…</p>
      ) : (
        <div className={css.pendingFailed}>
          <p>Not sent. {item.problem}</p>
          <Button onClick={() => session.resend(item.clientId)}>Send again</Button>
          <Button look="quiet" onClick={() => session.discard(item.clientId)}>
            Discard
          </Button>
        </div>
      )}
    </article>
  );
}

/** Claude's text: the same component for a draft and for the event that replaces it, so that nothing flickers. */
export function TextRowView({ row }: { row: TextRow }) {
  const draft = useDraftText(row.event ? null : row.id);
  const text = row.event ? textOf(row.event.content) : draft;
  const own = row.event?.holdfast;
  return (
    <article className={css.text} data-kind="text" data-draft={row.event ? undefined : true} aria-label="Claude">
      <Markdown text={text} streaming={row.event === null} />
      {own?.aborted && <p className={css.note}>Stopped here.</p>}
      {own?.error && <p className={css.note}>The model call failed: {own.error}</p>}
    </article>
  );
}

export function ThinkingRowView({ row }: { row: ThinkingRow }) {
  const draft = useDraftText(row.event ? null : row.id);
  const text = row.event ? (row.event.holdfast?.text ?? "") : draft;
  const [open, toggle] = useFold(`${row.id}/thinking`, false);
  const said = row.event ? "Thought" : "Thinking";
  if (text === "" && row.event)
    return (
      <section className={css.thinking} data-kind="thinking" aria-label={said}>
        <p className={css.thinkingHead}>
          <Icon name="bulb" />
          <strong>{said}</strong>
        </p>
      </section>
    );
  return (
    <section className={css.thinking} data-kind="thinking" aria-label={said}>
      <button type="button" className={css.thinkingHead} aria-expanded={open} onClick={toggle}>
        <Icon name="bulb" />
        <strong>{said}</strong>
        {!open && <span className={css.toolParams}>{firstLine(text)}</span>}
      </button>
      {open && <pre className={css.thinkingText}>{text}</pre>}
    </section>
  );
}

const firstLine = (text: string) => (text.trimStart().split("\n", 1)[0] ?? "").slice(0, 160);
