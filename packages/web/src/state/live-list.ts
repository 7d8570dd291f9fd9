import type { Session, SessionEvent } from "@holdfast/protocol";

/** What a session of the list does now, as far as the list shows it. */
export interface LiveSession {
  /** Seq of the newest event that it knows of. */
  lastSeq: number;
  state: "working" | "idle" | "ended" | "deleted";
  /** Tool calls that wait for somebody's word. Null: not known, only that there are some. */
  asks: ReadonlySet<string> | null;
  title: string | null;
  permissionMode: string;
}

const none: ReadonlySet<string> = new Set();

/** As the list of sessions tells it. */
export function liveFrom(session: Session): LiveSession {
  const state = session.status === "terminated" ? "ended" : session.status === "idle" ? "idle" : "working";
  const asks = session.holdfast.needs_answer === true ? null : none;
  const { last_seq: lastSeq, settings } = session.holdfast;
  return { lastSeq, state, asks, title: session.title, permissionMode: settings.permission_mode };
}

/** Applies an event. Pure; the same event again changes nothing. A hole does no harm: what follows says how it stands. */
export function reduceLive(live: LiveSession, event: SessionEvent): LiveSession {
  if (event.seq <= live.lastSeq) return live;
  const next = { ...live, lastSeq: event.seq };
  switch (event.type) {
    case "session.status_running":
      // The turn goes on: what nobody knew the name of was answered.
      return { ...next, state: "working", asks: live.asks ?? none };
    case "session.status_idle":
      if (event.stop_reason.type !== "requires_action") return { ...next, state: "idle", asks: none };
      return { ...next, state: "working", asks: new Set([...(live.asks ?? none), ...event.stop_reason.event_ids]) };
    case "session.status_terminated":
      return { ...next, state: "ended", asks: none };
    case "session.deleted":
      return { ...next, state: "deleted", asks: none };
    case "session.updated":
      return {
        ...next,
        title: event.title === undefined ? live.title : event.title,
        permissionMode: event.holdfast?.settings.permission_mode ?? live.permissionMode,
      };
    case "holdfast.permission_request":
      return { ...next, asks: new Set([...(live.asks ?? none), event.tool_use_id]) };
    case "holdfast.permission_resolved":
    case "user.tool_confirmation":
    case "agent.tool_result":
      return live.asks === null || live.asks.has(event.tool_use_id) ? { ...next, asks: less(live, event) } : next;
    default:
      return next;
  }
}

function less(live: LiveSession, event: { tool_use_id: string }): ReadonlySet<string> {
  const left = new Set(live.asks);
  left.delete(event.tool_use_id);
  return left;
}

export const needsAnswer = (live: LiveSession): boolean => live.asks === null || live.asks.size > 0;

/** Whether the list has to show something else. */
export function looksDifferent(a: LiveSession, b: LiveSession): boolean {
  if (a.title !== b.title || a.permissionMode !== b.permissionMode) return true;
  return a.state !== b.state || needsAnswer(a) !== needsAnswer(b);
}
