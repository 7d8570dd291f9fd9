import type { ErrorRow, InitRow, NoticeRow, OtherRow, ResultRow } from "../../state/rows.ts";
import { useNow } from "../../ui/clock.ts";
import { formatCost, formatDuration } from "../../ui/format.ts";
import { Emoji, Icon } from "../../ui/icons.tsx";
import { plural } from "./abbreviate.ts";
import { ClippedText } from "./clipped-text.tsx";
import { useFold } from "./contexts.ts";
import css from "./rows.module.css";

export function InitRowView({ row }: { row: InitRow }) {
  const { model, claude_code_version: version, cwd, scripted } = row.event;
  const facts = [scripted ? "scripted demo, not Claude" : model, version ? `Claude Code ${version}` : "", cwd];
  return (
    <p className={css.init} data-kind="init">
      <Emoji char="🚀" icon="rocket" /> <span>Claude initialized…</span>
      <span className={css.facts}>{facts.filter(Boolean).join(" · ")}</span>
    </p>
  );
}

const stopped = {
  completed: "Done",
  stopped: "Stopped",
  failed: "Failed",
  limit: "Stopped at a limit",
  interrupted: "Cut off before its end",
  terminated: "This session has ended for good",
} as const;

export function ResultRowView({ row }: { row: ResultRow }) {
  const { event } = row;
  if (event.type !== "holdfast.turn_result") {
    const outcome = event.type === "session.status_idle" ? (event.holdfast?.outcome ?? "completed") : "terminated";
    const kept = outcome === "interrupted" ? ". Everything shown is kept; send a message to go on from here." : "";
    return (
      <div className={css.result} data-kind="result" data-outcome={outcome}>
        <p>
          <Icon name={outcome === "failed" ? "cross" : "stop"} /> {stopped[outcome]}
          {kept}
        </p>
      </div>
    );
  }
  const word = stopped[event.outcome] ?? "Ended";
  const link = event.outcome === "completed" ? "in" : "after";
  const facts = [
    `${word} ${link} ${formatDuration(event.duration_ms)}`,
    formatCost(event.cost_usd),
    plural(event.num_turns, "turn"),
  ];
  const icon = event.outcome === "completed" ? "check" : event.outcome === "failed" ? "cross" : "stop";
  const errors = (event.errors ?? []).filter((text) => text.trim() !== "");
  return (
    <div className={css.result} data-kind="result" data-outcome={event.outcome}>
      <p>
        <Icon name={icon} /> {facts.join(" · ")}
      </p>
      {event.outcome !== "completed" && event.outcome !== "stopped" && errors.map((text) => <p key={text}>{text}</p>)}
      {event.outcome === "limit" && errors.length === 0 && <p>{event.subtype.replaceAll("_", " ")}</p>}
    </div>
  );
}

export function ErrorRowView({ row }: { row: ErrorRow }) {
  const { error, holdfast: own } = row.event;
  const title = error.retry_status?.type === "retrying" ? "Something failed and is tried again" : "This did not work";
  return (
    <section className={css.error} data-kind="error" aria-label="Error">
      <p className={css.errorTitle}>
        <Emoji char="❌" icon="cross" /> <strong>{title}</strong>
        {own?.code && <span className={css.toolNote}>{own.code}</span>}
      </p>
      <p className={css.prose}>{error.message}</p>
      {own?.remedy && (
        <p className={css.prose}>
          <strong>What to do: </strong>
          {own.remedy}
        </p>
      )}
      {own?.exit_code !== undefined && own.exit_code !== null && <p className={css.note}>Exit code {own.exit_code}</p>}
      {own?.output && <ClippedText id={row.id} text={own.output} />}
    </section>
  );
}

export function NoticeRowView({ row }: { row: NoticeRow }) {
  if (row.divider)
    return (
      <p className={css.divider} data-kind="divider">
        <span>{row.text}</span>
      </p>
    );
  return (
    <p className={css.notice} data-kind="notice" data-level={row.level}>
      <Icon name={row.level === "info" ? "info" : "warning"} />
      <span className={css.prose}>
        {row.text}
        {row.retryAtMs !== null && <Countdown untilMs={row.retryAtMs} />}
      </span>
    </p>
  );
}

function Countdown({ untilMs }: { untilMs: number }) {
  const now = useNow(Date.now() < untilMs + 2_000);
  const left = Math.ceil((untilMs - now) / 1_000);
  if (now === 0 || left <= 0) return null;
  return <span data-testid="countdown"> · next try in {left} s</span>;
}

/** A line that nobody here knows: its name, and all of it on demand. */
export function OtherRowView({ row }: { row: OtherRow }) {
  return <RawRow id={row.id} title={row.event.line_type} value={row.event.line} />;
}

export function RawRow({ id, title, value }: { id: string; title: string; value: unknown }) {
  const [open, toggle] = useFold(`${id}/raw`, false);
  return (
    <section className={css.other} data-kind="other" aria-label={`Other: ${title}`}>
      <button type="button" className={css.otherHead} aria-expanded={open} onClick={toggle}>
        <span className={css.chevron}>
          <Icon name="chevron" />
        </span>
        <span className={css.headWords}>{title}</span>
      </button>
      {open && <ClippedText id={id} text={rawText(value)} lines={40} />}
    </section>
  );
}

function rawText(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? String(value));
}
