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
  /** Somebody has asked, here or on another device, that it stops. */
  stopAsked: boolean;
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

const lastStatus = (log: SessionLog) => log.events.findLast((event) => event.type.startsWith("session.status_"));

/** A turn runs, or waits for an answer. Without events the list tells it. */
export function isWorking(log: SessionLog, listed: SessionStatus | undefined): boolean {
  const status = lastStatus(log);
  if (status?.type === "session.status_idle") return status.stop_reason.type === "requires_action";
  if (status) return status.type === "session.status_running";
  return log.events.length === 0 && (listed === "running" || listed === "rescheduling");
}

export function activityOf(
  log: SessionLog,
  outbox: readonly OutboxItem[],
  listed: SessionStatus | undefined,
  unread: ReadonlySet<string> = new Set(),
): Activity {
  const status = lastStatus(log);
  const asks = status?.type === "session.status_idle" && status.stop_reason.type === "requires_action";
  const working = isWorking(log, listed);
  const sending =
    !working && outbox.some((item) => item.state === "sending" && !(item.eventId && log.byId.has(item.eventId)));
  const draft = log.drafts.some((entry) => entry.text.trim() !== "" || entry.kind === "agent.thinking");
  const outcome =
    status?.type === "session.status_idle"
      ? (status.holdfast?.outcome ?? "completed")
      : status?.type === "session.status_terminated"
        ? "terminated"
        : null;
  return {
    working,
    since: working ? turnStart(log.events) : null,
    typing: sending || (!draft && !asks && awaitsContent(log.events, unread)),
    doing: asks ? "Waiting for your answer" : working ? doingNow(log.events, unread) : null,
    stopAsked: working && stopAsked(log.events),
    outcome: asks ? null : outcome,
  };
}

/** Also before the server has said that it works on it: the message is there, and nothing has come after it. */
function awaitsContent(events: readonly SessionEvent[], unread: ReadonlySet<string>): boolean {
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i];
    if (!event || isContent(event)) return false;
    if (begins(event) || (event.type === "user.message" && !unread.has(event.id))) return true;
  }
  return false;
}

const begins = (event: SessionEvent) =>
  event.type === "holdfast.message" && (event.state === "started" || event.state === "steered");

/** When the running turn began: a question in the middle of it begins no other. */
function turnStart(events: readonly SessionEvent[]): string | null {
  let start: string | null = null;
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i];
    if (event?.type === "session.status_idle" && event.stop_reason.type !== "requires_action") break;
    if (event?.type === "session.status_running" || event?.type === "session.status_idle") start = event.processed_at;
  }
  return start;
}

function stopAsked(events: readonly SessionEvent[]): boolean {
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i];
    if (event?.type === "user.interrupt") return true;
    if (event && begins(event)) return false;
    if (event?.type === "session.status_idle" && event.stop_reason.type !== "requires_action") return false;
  }
  return false;
}

/** The step or tool that runs now. Looks back as far as the last message. */
function doingNow(events: readonly SessionEvent[], unread: ReadonlySet<string>): string | null {
  const answered = new Set<string>();
  const steps = new Set<string>();
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i];
    if (!event || begins(event) || (event.type === "user.message" && !unread.has(event.id))) return null;
    if (event.type === "agent.tool_result") answered.add(event.tool_use_id);
    if (event.type === "agent.tool_use" && !answered.has(event.id)) return `Running ${event.name}`;
    if (event.type === "holdfast.step") {
      if (!steps.has(event.step_id) && event.state === "running") return event.title;
      steps.add(event.step_id);
    }
  }
  return null;
}
