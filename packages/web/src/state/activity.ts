import type { SessionEvent, SessionStatus } from "@holdfast/protocol";
import type { SessionLog } from "./log.ts";
import type { OutboxItem } from "./outbox.ts";

/** What the session is doing now, as the log tells it. */
export interface Activity {
  working: boolean;
  /** Start of the turn that is running, RFC 3339. */
  since: string | null;
  /** Nothing has come yet in answer to the last message. */
  typing: boolean;
  /** Words for the state pill: a running step, a running tool, or null. */
  doing: string | null;
  /** How the last turn ended; null while one runs or before the first. */
  outcome: "completed" | "stopped" | "failed" | "interrupted" | "limit" | "terminated" | null;
}

const endsTyping = new Set([
  "session.error",
  "session.status_idle",
  "session.status_terminated",
  "holdfast.turn_result",
]);
const isContent = (event: SessionEvent) => event.type.startsWith("agent.") || endsTyping.has(event.type);

export function activityOf(
  log: SessionLog,
  outbox: readonly OutboxItem[],
  listed: SessionStatus | undefined,
): Activity {
  const status = log.events.findLast((event) => event.type.startsWith("session.status_"));
  const asks = status?.type === "session.status_idle" && status.stop_reason.type === "requires_action";
  const working = status
    ? asks || status.type === "session.status_running"
    : log.events.length === 0 && (listed === "running" || listed === "rescheduling");
  const sending = outbox.some((item) => item.state === "sending" && !(item.eventId && log.byId.has(item.eventId)));
  const draft = log.drafts.some((entry) => entry.text.trim() !== "" || entry.kind === "agent.thinking");
  const outcome =
    status?.type === "session.status_idle"
      ? (status.holdfast?.outcome ?? "completed")
      : status?.type === "session.status_terminated"
        ? "terminated"
        : null;
  return {
    working,
    since: working ? (status?.processed_at ?? null) : null,
    typing: sending || (!draft && awaitsContent(log.events)),
    doing: asks ? "Waiting for your answer" : working ? doingNow(log.events) : null,
    outcome: asks ? null : outcome,
  };
}

/** Also before the server has said that it works on it: the message is there, and nothing has come after it. */
function awaitsContent(events: readonly SessionEvent[]): boolean {
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i];
    if (!event || isContent(event)) return false;
    if (event.type === "user.message") return true;
  }
  return false;
}

/** The step or tool that runs now. Looks back as far as the last message. */
function doingNow(events: readonly SessionEvent[]): string | null {
  const answered = new Set<string>();
  const steps = new Set<string>();
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i];
    if (!event || event.type === "user.message") return null;
    if (event.type === "agent.tool_result") answered.add(event.tool_use_id);
    if (event.type === "agent.tool_use" && !answered.has(event.id)) return `Running ${event.name}`;
    if (event.type === "holdfast.step") {
      if (!steps.has(event.step_id) && event.state === "running") return event.title;
      steps.add(event.step_id);
    }
  }
  return null;
}
