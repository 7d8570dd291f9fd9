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

type StatusEvent = Extract<SessionEvent, { type: `session.status_${string}` }>;
const isStatus = (event: SessionEvent): event is StatusEvent => event.type.startsWith("session.status_");

/** What the events since some point say. */
interface Point {
  /** Nothing has come since the last message. */
  awaits: boolean;
  /** Steps and tool calls that run, by id, in the order in which they were last heard of. */
  running: Map<string, string>;
}

/** Follows what a session does, event by event; each costs the same, however long the log is. */
export class ActivityTracker {
  #status: StatusEvent | null = null;
  #any = false;
  #since: string | null = null;
  #stopAsked = false;
  #point: Point = { awaits: false, running: new Map() };
  /** As it was before a message that may still be taken back. */
  #before: { messageId: string; point: Point } | null = null;

  /** `unread`: a message that Claude has not got (yet). */
  feed(event: SessionEvent, unread: boolean): void {
    this.#any = true;
    if (isStatus(event)) this.#status = event;
    if (event.type === "user.interrupt") this.#stopAsked = true;
    if (event.type === "user.message" && !unread) this.#begin(event.id);
    if (event.type === "holdfast.message") this.#onMessage(event);
    if (event.type === "session.status_idle" && event.stop_reason.type !== "requires_action") {
      this.#since = null;
      this.#stopAsked = false;
    } else if (event.type === "session.status_idle" || event.type === "session.status_running")
      this.#since ??= event.processed_at;
    if (isContent(event)) this.#point.awaits = false;
    this.#follow(event);
  }

  /** Messages that were held back are Claude's now, without anybody having said so. */
  released(): void {
    this.#point = { ...this.#point, running: new Map() };
  }

  /** A turn runs, or waits for an answer. Without events the list tells it. */
  isWorking(listed: SessionStatus | undefined): boolean {
    const status = this.#status;
    if (status?.type === "session.status_idle") return status.stop_reason.type === "requires_action";
    if (status) return status.type === "session.status_running";
    return !this.#any && (listed === "running" || listed === "rescheduling");
  }

  /** `log` for its drafts, and for what of the outbox has arrived. */
  activity(log: SessionLog, outbox: readonly OutboxItem[], listed: SessionStatus | undefined): Activity {
    const status = this.#status;
    const asks = status?.type === "session.status_idle" && status.stop_reason.type === "requires_action";
    const working = this.isWorking(listed);
    const sending =
      !working && outbox.some((item) => item.state === "sending" && !(item.eventId && log.events.has(item.eventId)));
    const draft = log.drafts.some((entry) => entry.text.trim() !== "" || entry.kind === "agent.thinking");
    const outcome =
      status?.type === "session.status_idle"
        ? (status.holdfast?.outcome ?? "completed")
        : status?.type === "session.status_terminated"
          ? "terminated"
          : null;
    const doing = [...this.#point.running.values()].at(-1) ?? null;
    return {
      working,
      since: working ? this.#since : null,
      typing: sending || (!draft && !asks && this.#point.awaits),
      doing: asks ? "Waiting for your answer" : working ? doing : null,
      stopAsked: working && this.#stopAsked,
      outcome: asks ? null : outcome,
    };
  }

  #begin(messageId: string): void {
    this.#before = { messageId, point: this.#point };
    this.#point = { awaits: true, running: new Map() };
  }

  #onMessage({ message_id: id, state }: Extract<SessionEvent, { type: "holdfast.message" }>): void {
    if (state === "started" || state === "steered") {
      this.#stopAsked = false;
      this.#begin(id);
    } else if (state === "removed" && this.#before?.messageId === id) {
      const { awaits, running } = this.#before.point;
      this.#point = {
        awaits: awaits && this.#point.awaits,
        running: new Map([...running, ...this.#point.running]),
      };
      this.#before = null;
    }
  }

  #follow(event: SessionEvent): void {
    const { running } = this.#point;
    if (event.type === "agent.tool_use") running.set(event.id, `Running ${event.name}`);
    else if (event.type === "agent.tool_result") running.delete(event.tool_use_id);
    else if (event.type === "holdfast.step") {
      running.delete(event.step_id);
      if (event.state === "running") running.set(event.step_id, event.title);
    }
  }
}
