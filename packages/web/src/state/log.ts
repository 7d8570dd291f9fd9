import type { DraftFrame, SessionEvent } from "@holdfast/protocol";
import { EventList } from "./event-list.ts";

/** Text that is being written and is not an event yet. */
export interface Draft {
  /** The id that the event will have. */
  id: string;
  kind: "agent.message" | "agent.thinking";
  text: string;
  /** Content block that the last delta belonged to. */
  index: number;
  /** False after a disconnect, until the server speaks of this draft again. */
  confirmed: boolean;
}

/** The part of a session's log that this page has. `events` is without holes and sorted by `seq`. */
export interface SessionLog {
  events: EventList;
  /** Seq of the first event held; `lastSeq + 1` when none is held. */
  firstSeq: number;
  lastSeq: number;
  /** Events beyond a hole, kept until the hole is filled. */
  ahead: readonly SessionEvent[];
  hasOlder: boolean;
  drafts: readonly Draft[];
}

export type LogInput =
  | { type: "event"; event: SessionEvent }
  | { type: "draft"; frame: DraftFrame }
  /** A page of the list, in any order. Older, newer or overlapping; one that leaves a hole replaces everything. */
  | { type: "page"; events: readonly SessionEvent[]; hasOlder: boolean }
  | { type: "disconnected" }
  /** The server's log is another one than ours (an older copy was put back): begin anew. */
  | { type: "reset" };

export const emptyLog: SessionLog = {
  events: EventList.of([]),
  firstSeq: 1,
  lastSeq: 0,
  ahead: [],
  hasOlder: false,
  drafts: [],
};

/** Applies what arrived, in order. Pure, and idempotent: the same input again changes nothing. */
export function reduce(log: SessionLog, inputs: readonly LogInput[]): SessionLog {
  let next = log;
  let run: SessionEvent[] = [];
  const settle = () => {
    if (run.length > 0) next = addEvents(next, run);
    run = [];
  };
  for (const input of inputs) {
    if (input.type === "event") {
      run.push(input.event);
      continue;
    }
    settle();
    if (input.type === "page") next = addPage(next, input.events, input.hasOlder);
    else if (input.type === "draft") next = applyDraft(next, input.frame);
    else if (input.type === "reset") next = emptyLog;
    else next = markUnconfirmed(next);
  }
  settle();
  return next;
}

/** What the log's `lastSeq` will be at least once these inputs are applied. */
export function cursorAfter(log: SessionLog, inputs: readonly LogInput[]): number {
  let { lastSeq } = log;
  for (const input of inputs) {
    if (input.type === "reset") lastSeq = 0;
    else if (input.type === "event" && input.event.seq === lastSeq + 1) lastSeq++;
  }
  return lastSeq;
}

/** Whether events are missing between what is shown and what has already arrived. */
export function hasGap(log: SessionLog): boolean {
  return log.ahead.length > 0;
}

const bySeq = (a: SessionEvent, b: SessionEvent) => a.seq - b.seq;

function addEvents(log: SessionLog, incoming: readonly SessionEvent[]): SessionLog {
  const candidates = [...log.ahead, ...incoming].sort(bySeq);
  const added: SessionEvent[] = [];
  const ahead: SessionEvent[] = [];
  let lastSeq = log.lastSeq;
  for (const event of candidates) {
    if (event.seq <= lastSeq) continue;
    if (event.seq === lastSeq + 1) {
      added.push(event);
      lastSeq = event.seq;
    } else if (ahead.at(-1)?.seq !== event.seq) ahead.push(event);
  }
  if (added.length === 0) return ahead.length === log.ahead.length ? log : { ...log, ahead };
  return { ...log, events: log.events.append(added), lastSeq, ahead, drafts: draftsAfter(log.drafts, added) };
}

function addPage(log: SessionLog, page: readonly SessionEvent[], hasOlder: boolean): SessionLog {
  const sorted = [...page].sort(bySeq).filter((event, i, all) => event.seq !== all[i - 1]?.seq);
  const first = sorted[0];
  const last = sorted.at(-1);
  if (!first || !last) return log.events.length === 0 ? { ...log, hasOlder } : log;
  const joins = log.events.length > 0 && first.seq <= log.lastSeq + 1 && last.seq >= log.firstSeq - 1;
  if (!joins) {
    const fresh: SessionLog = {
      ...emptyLog,
      events: EventList.of(sorted),
      firstSeq: first.seq,
      lastSeq: last.seq,
      hasOlder,
      drafts: draftsAfter(log.drafts, sorted),
    };
    return addEvents(fresh, log.ahead);
  }
  let next = log;
  const older = sorted.filter((event) => event.seq < log.firstSeq);
  if (older.length > 0) {
    next = { ...log, events: EventList.of(older).append(log.events), firstSeq: first.seq, hasOlder };
  } else if (first.seq === log.firstSeq && log.hasOlder !== hasOlder) next = { ...log, hasOlder };
  const newer = sorted.filter((event) => event.seq > log.lastSeq);
  return newer.length > 0 ? addEvents(next, newer) : next;
}

/** A draft goes when its event has come, when the turn is over, or when the agent went on without it after a cut. */
function draftsAfter(drafts: readonly Draft[], added: readonly SessionEvent[]): readonly Draft[] {
  if (drafts.length === 0) return drafts;
  const ended = added.some(
    (event) => event.type === "session.status_idle" || event.type === "session.status_terminated",
  );
  if (ended) return [];
  const ids = new Set(added.map((event) => event.id));
  const wentOn = added.some((event) => event.type.startsWith("agent."));
  const left = drafts.filter((draft) => !ids.has(draft.id) && (draft.confirmed || !wentOn));
  return left.length === drafts.length ? drafts : left;
}

function applyDraft(log: SessionLog, frame: DraftFrame): SessionLog {
  if (frame.type === "event_start") {
    const { id, type: kind } = frame.event;
    if (log.events.has(id)) return log;
    const draft: Draft = { id, kind, text: "", index: 0, confirmed: true };
    // In place if it was shown before a cut: the row keeps its position and the text comes again.
    const kept = log.drafts.filter((other) => other.confirmed || other.id === id);
    const at = kept.findIndex((other) => other.id === id);
    return { ...log, drafts: at < 0 ? [...kept, draft] : kept.with(at, draft) };
  }
  const at = log.drafts.findIndex((draft) => draft.id === frame.event_id);
  const draft = log.drafts[at];
  if (!draft) return log;
  if (frame.type === "holdfast.draft_void") return { ...log, drafts: log.drafts.toSpliced(at, 1) };
  if (!draft.confirmed) return log;
  const { index, content } = frame.delta;
  const glue = index !== draft.index && draft.text !== "" ? "\n\n" : "";
  return { ...log, drafts: log.drafts.with(at, { ...draft, index, text: draft.text + glue + content.text }) };
}

function markUnconfirmed(log: SessionLog): SessionLog {
  if (!log.drafts.some((draft) => draft.confirmed)) return log;
  return { ...log, drafts: log.drafts.map((draft) => ({ ...draft, confirmed: false })) };
}
