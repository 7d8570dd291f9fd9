import type { EventOf } from "@holdfast/protocol";
import type { StepsRow } from "../../state/rows.ts";
import { useNow } from "../../ui/clock.ts";
import { formatDuration, formatElapsed } from "../../ui/format.ts";
import { Icon, Spinner } from "../../ui/icons.tsx";
import { plural } from "./abbreviate.ts";
import { useFold } from "./contexts.ts";
import css from "./rows.module.css";

type Step = EventOf<"holdfast.step">;

const words: Record<Step["state"], string> = {
  running: "running",
  done: "done",
  failed: "failed",
  skipped: "skipped",
  warning: "done with a warning",
};

/** The steps of something that takes time. One line when all went well; failures stay open. */
export function StepsRowView({ row }: { row: StepsRow }) {
  const running = !row.cutOff && row.steps.some((step) => step.state === "running");
  const trouble = row.cutOff || row.steps.some((step) => step.state === "failed" || step.state === "warning");
  const [open, toggle] = useFold(`${row.id}/steps`, false);
  const unfolded = running || trouble || open;
  const failed = row.steps.some((step) => step.state === "failed");
  return (
    <section
      className={css.steps}
      data-kind="steps"
      data-state={running ? "running" : failed ? "error" : "ok"}
      aria-label="Steps"
    >
      {!running && !trouble && (
        <button type="button" className={css.stepsHead} aria-expanded={open} onClick={toggle}>
          <Icon name="check" />
          <span className={css.headWords}>{summaryOf(row)}</span>
        </button>
      )}
      {unfolded && (
        <ol className={css.stepList}>
          {row.steps.map((step, i) => (
            <StepView
              key={step.step_id}
              step={step}
              cutOff={row.cutOff}
              startedAt={row.starts[i] ?? step.processed_at}
            />
          ))}
        </ol>
      )}
    </section>
  );
}

function summaryOf(row: StepsRow): string {
  const ms = row.steps.reduce((sum, step, i) => sum + durationOf(step, row.starts[i] ?? step.processed_at), 0);
  const only = row.steps.length === 1 ? row.steps[0] : undefined;
  if (only) return `${only.title}${only.detail ? `: ${only.detail}` : ""} · ${formatDuration(ms)}`;
  const what = row.steps.some((step) => step.step === "claude") ? "Ready" : "Done";
  return `${what} in ${formatDuration(ms)} · ${plural(row.steps.length, "step")}`;
}

const durationOf = (step: Step, startedAt: string) =>
  step.duration_ms ?? Math.max(0, Date.parse(step.processed_at) - Date.parse(startedAt));

function StepView({ step, cutOff, startedAt }: { step: Step; cutOff: boolean; startedAt: string }) {
  const stopped = cutOff && step.state === "running";
  const running = step.state === "running" && !stopped;
  const now = useNow(running);
  const elapsed = running ? now - Date.parse(startedAt) : durationOf(step, startedAt);
  const time = timeOf(elapsed, running, stopped);
  const attempt = step.attempt !== undefined && step.attempt > 1 ? `try ${step.attempt}` : "";
  return (
    <li className={css.step} data-state={step.state} data-step={step.step}>
      <span className={css.stepIcon}>
        {stopped ? <Icon name="stop" /> : <StepIcon state={step.state} />}
        <span className={css.hidden}>{stopped ? "not finished" : words[step.state]}: </span>
      </span>
      <span className={css.stepTitle}>{step.title}</span>
      <span className={css.toolNote}>{[countOf(step), attempt, time].filter(Boolean).join(" · ")}</span>
      {step.progress?.total ? (
        <progress
          className={css.progress}
          value={step.progress.done}
          max={step.progress.total}
          aria-label={step.title}
        />
      ) : null}
      {step.detail ? <p className={css.stepDetail}>{step.detail}</p> : null}
    </li>
  );
}

function timeOf(elapsedMs: number, running: boolean, stopped: boolean): string {
  if (stopped) return "not finished";
  if (running) return elapsedMs >= 1_000 ? formatElapsed(elapsedMs) : "";
  return elapsedMs > 0 ? formatDuration(elapsedMs) : "";
}

function countOf(step: Step): string {
  if (!step.progress) return "";
  const { done, total, unit } = step.progress;
  return total === null ? `${done} ${unit}` : `${done} of ${total} ${unit}`;
}

function StepIcon({ state }: { state: Step["state"] }) {
  switch (state) {
    case "running":
      return <Spinner />;
    case "done":
      return <Icon name="check" />;
    case "failed":
      return <Icon name="cross" />;
    case "warning":
      return <Icon name="warning" />;
    case "skipped":
      return <Icon name="circle" />;
  }
}
