import { ActivityTracker } from "./activity.ts";
import type { EventList } from "./event-list.ts";
import type { Draft, SessionLog } from "./log.ts";
import type { OutboxItem } from "./outbox.ts";
import type { QuestionRow, Row, UserRow } from "./row-types.ts";
import { LogWalk } from "./row-walk.ts";
import { sameRow } from "./same-row.ts";

export * from "./row-types.ts";
export { textOf } from "./row-walk.ts";

/** Computes the rows of a log, giving back the same objects, and the same array, for what did not change. */
export class RowBuilder {
  #events: EventList | null = null;
  #walked: LogWalk | null = null;
  #committed: readonly Row[] = [];
  #tail: readonly Row[] = [];
  #rows: readonly Row[] = [];
  /** `#rows` has not yet what was read. */
  #stale = false;
  #open: readonly QuestionRow[] = [];
  #queue: readonly UserRow[] = [];
  #sending: readonly OutboxItem[] = [];
  #turn: string | null = null;

  /** What the log that was read last says of the session. */
  get activity(): ActivityTracker {
    return this.#walked?.activity ?? new ActivityTracker();
  }

  /** Messages that wait for the running turn, oldest first. */
  get queue(): readonly UserRow[] {
    return this.#queue;
  }

  /** Messages that will wait, too, as soon as the server has them. */
  get sending(): readonly OutboxItem[] {
    return this.#sending;
  }

  /** The message whose turn runs. */
  get turn(): string | null {
    return this.#turn;
  }

  /** Questions that wait for an answer, oldest first. */
  get openQuestions(): readonly QuestionRow[] {
    return this.#open;
  }

  /** `working`: what is sent now has to wait. */
  build(log: SessionLog, outbox: readonly OutboxItem[], working = false): readonly Row[] {
    this.read(log);
    const waiting = outbox.filter((item) => !item.eventId || !log.events.has(item.eventId));
    const queued = (item: OutboxItem) => working && item.state === "sending";
    this.#sending = same(this.#sending, waiting.filter(queued));
    const pending = waiting
      .filter((item) => !queued(item))
      .map((item): Row => ({ kind: "pending", id: item.clientId, item }));
    const tail = reuse(this.#tail, [...draftRows(log.drafts), ...pending]);
    if (this.#stale || tail !== this.#tail) this.#rows = this.#committed.concat(tail);
    this.#stale = false;
    this.#tail = tail;
    return this.#rows;
  }

  /** Takes in what the log has by now. */
  read(log: SessionLog): void {
    const { events } = log;
    if (events === this.#events) return;
    const before = this.#committed;
    this.#events = events;
    if (this.#walked?.goOn(events)) this.#committed = this.#walked.publish(before);
    else {
      this.#walked = new LogWalk(events);
      this.#committed = reuse(before, this.#walked.publish([]));
    }
    if (this.#committed !== before) this.#stale = true;
    const { messages, openQuestions } = this.#walked;
    this.#queue = reuse(
      this.#queue,
      [...messages.held.values()].map((row) => ({ ...row })),
    );
    this.#turn = messages.turn;
    const open = openQuestions.map((place) => this.#committed[place] as QuestionRow);
    this.#open = same(this.#open, open);
  }
}

const same = <T>(before: readonly T[], after: readonly T[]): readonly T[] =>
  before.length === after.length && after.every((entry, i) => entry === before[i]) ? before : after;

function reuse<R extends Row>(before: readonly R[], rows: readonly R[]): readonly R[] {
  const byId = new Map(before.map((row) => [row.id, row]));
  let changed = rows.length !== before.length;
  const reused = rows.map((row, i) => {
    const old = byId.get(row.id);
    const kept = old && sameRow(old, row) ? old : row;
    if (kept !== before[i]) changed = true;
    return kept;
  });
  return changed ? reused : before;
}

const draftRows = (drafts: readonly Draft[]): Row[] =>
  drafts
    .filter((draft) => draft.kind === "agent.thinking" || draft.text.trim() !== "")
    .map((draft) =>
      draft.kind === "agent.message"
        ? { kind: "text", id: draft.id, event: null }
        : { kind: "thinking", id: draft.id, event: null },
    );
