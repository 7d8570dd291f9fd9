import { type DraftFrame, type NewEvent, newId, type SessionEvent } from "@holdfast/protocol";
import type { Clock } from "../../ports/clock.ts";
import type { Database, Tx } from "../../ports/database.ts";
import {
  type AppendInput,
  type EventLog,
  type LogFrame,
  type LogTx,
  type ReadOptions,
  StaleGenerationError,
} from "../../ports/event-log.ts";
import { eventPage } from "./event-page.ts";
import { FanOut } from "./fan-out.ts";

export interface DbEventLogOptions {
  clock: Clock;
  /** How many frames a reader may be behind before it is dropped. */
  queueLimit?: number;
  /** For tests: called after the commit, before anyone is told. */
  onCommitted?: (events: readonly SessionEvent[]) => void;
}

export class DbEventLog implements EventLog {
  readonly #db: Database;
  readonly #fanOut: FanOut;
  readonly #options: DbEventLogOptions;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(db: Database, options: DbEventLogOptions) {
    this.#db = db;
    this.#options = options;
    this.#fanOut = new FanOut(options.queueLimit ?? 5_000);
  }

  /** One after the other, publishing included: readers see events in the order of their `seq`. */
  transact<T>(work: (log: LogTx) => Promise<T>): Promise<T> {
    const result = this.#tail.then(() => this.#transact(work));
    // The caller gets the failure; the next in line only waits for its turn.
    this.#tail = result.catch(() => undefined);
    return result;
  }

  append(input: AppendInput): Promise<SessionEvent[]> {
    return this.transact((log) => log.append(input));
  }

  async *read({
    sessionId,
    after,
    signal,
    drafts = new Set(),
    budget,
  }: ReadOptions): AsyncGenerator<LogFrame, void, undefined> {
    // Joined before the past is read: what is committed meanwhile waits in the queue, and is told by its seq.
    const { queue, leave } = this.#fanOut.join(sessionId, drafts, budget);
    try {
      let last = after;
      const seen = new Set<string>();
      for (;;) {
        const { events: page, more } = await eventPage(this.#db, sessionId, last);
        for (const event of page) {
          signal.throwIfAborted();
          last = event.seq;
          seen.add(event.id);
          yield { kind: "event", event };
        }
        if (!more) break;
      }
      for (;;) {
        const frame = await queue.next(signal);
        if (frame === undefined) return;
        if (frame.kind === "draft") {
          // The event of this draft was read with the past already.
          if (!seen.has(draftId(frame.draft))) yield frame;
        } else if (frame.event.seq > last) {
          last = frame.event.seq;
          yield frame;
        }
      }
    } finally {
      leave();
    }
  }

  publishDraft(sessionId: string, draft: DraftFrame): void {
    this.#fanOut.draft(sessionId, draft);
  }

  clearDrafts(sessionId: string): void {
    this.#fanOut.clearDrafts(sessionId);
  }

  listenerCount(sessionId?: string): number {
    return this.#fanOut.listenerCount(sessionId);
  }

  async #transact<T>(work: (log: LogTx) => Promise<T>): Promise<T> {
    const appended: { sessionId: string; events: SessionEvent[] }[] = [];
    const result = await this.#db.transaction().execute((tx) =>
      work({
        tx,
        append: async (input) => {
          const events = await this.#insert(tx, input);
          appended.push({ sessionId: input.sessionId, events });
          return events;
        },
      }),
    );
    for (const { sessionId, events } of appended) {
      this.#options.onCommitted?.(events);
      this.#fanOut.events(sessionId, events);
    }
    return result;
  }

  async #insert(tx: Tx, input: AppendInput): Promise<SessionEvent[]> {
    const nowMs = input.atMs ?? this.#options.clock.now();
    let update = tx
      .updateTable("sessions")
      .set((eb) => ({
        ...input.session,
        last_seq: eb("last_seq", "+", input.events.length),
        updated_at: nowMs,
      }))
      .where("id", "=", input.sessionId);
    if (input.generation !== undefined) update = update.where("generation", "<=", input.generation);
    const row = await update.returning("last_seq").executeTakeFirst();
    if (row === undefined) throw new StaleGenerationError(input.sessionId, input.generation ?? 0);
    const first = row.last_seq - input.events.length + 1;
    const events = input.events.map((event, index) => numbered(event, first + index, nowMs));
    for (const event of events) {
      await tx
        .insertInto("events")
        .values({
          session_id: input.sessionId,
          seq: event.seq,
          id: event.id,
          type: event.type,
          event_json: JSON.stringify(event),
          created_at: nowMs,
        })
        .execute();
    }
    return events;
  }
}

function numbered(event: NewEvent, seq: number, nowMs: number): SessionEvent {
  return {
    ...event,
    id: event.id ?? newId("event", nowMs),
    seq,
    processed_at: new Date(nowMs).toISOString(),
  } as SessionEvent;
}

function draftId(draft: DraftFrame): string {
  return draft.type === "event_start" ? draft.event.id : draft.event_id;
}
