import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { type DraftFrame, type NewEvent, newId, type SessionEvent } from "@holdfast/protocol";
import { FairTurns, sleep } from "@holdfast/std";
import type { Clock } from "../../ports/clock.ts";
import { type Database, isDatabaseAway, isPostgres, locked, portions, type Tx } from "../../ports/database.ts";
import {
  type AppendInput,
  type EventLog,
  type LogFrame,
  type LogTx,
  type ReadOptions,
  StaleGenerationError,
  type TransactOptions,
} from "../../ports/event-log.ts";
import type { ServerBus } from "../../ports/server-bus.ts";
import { notify } from "../bus/wire.ts";
import { eventPage } from "./event-page.ts";
import { FanOut } from "./fan-out.ts";
import { LogReader } from "./log-reader.ts";

const retryMs = { first: 50, most: 2_000 };
const deadlockRetries = 5;
const logTopic = "log:";

export interface DbEventLogOptions {
  clock: Clock;
  /** How other servers, if there are any, are told. */
  bus: ServerBus;
  /** How many frames a reader may be behind before it is dropped. */
  queueLimit?: number;
  /** For tests: called after the commit, before anyone is told. */
  onCommitted?: (events: readonly SessionEvent[]) => void;
}

interface Appended {
  sessionId: string;
  events: SessionEvent[];
}

export class DbEventLog implements EventLog, Disposable {
  readonly #db: Database;
  readonly #fanOut: FanOut;
  readonly #options: DbEventLogOptions;
  /** Whether several servers may write. */
  readonly #shared: boolean;
  /** Names this server in what it tells the others. */
  readonly #origin = randomUUID();
  /** Sessions of which a commit's outcome was not learned: what we said of them ourselves may be news. */
  readonly #doubtful = new Set<string>();
  readonly #gap: Disposable;
  /** Pages of the past: each is a megabyte to read, to parse and to print. */
  readonly #pages = new FairTurns(setImmediate);
  #tail: Promise<unknown> = Promise.resolve();

  constructor(db: Database, options: DbEventLogOptions) {
    this.#db = db;
    this.#options = options;
    this.#shared = isPostgres(db);
    this.#fanOut = new FanOut(options.queueLimit ?? 5_000, (sessionId) =>
      options.bus.subscribe(logTopic + sessionId, (payload) => this.#onTold(sessionId, payload)),
    );
    this.#gap = options.bus.onGap(() => this.#fanOut.wakeAll());
  }

  [Symbol.dispose](): void {
    this.#gap[Symbol.dispose]();
  }

  /**
   * SQLite has one writer: one after the other, publishing included. PostgreSQL orders the writers of one session by
   * its row; a reader that is told out of order reads from the table.
   */
  transact<T>(work: (log: LogTx) => Promise<T>, options: TransactOptions = {}): Promise<T> {
    if (this.#shared) return this.#untilStored(work, options.patience);
    const result = this.#tail.then(() => this.#transact(work));
    // The caller gets the failure; the next in line only waits for its turn.
    this.#tail = result.catch(() => undefined);
    return result;
  }

  append(input: AppendInput, options?: TransactOptions): Promise<SessionEvent[]> {
    return this.transact((log) => log.append(input), options);
  }

  async *read({
    sessionId,
    after,
    signal,
    drafts = new Set(),
    budget,
  }: ReadOptions): AsyncGenerator<LogFrame, void, undefined> {
    // Joined before the past is read: what is committed meanwhile waits in the queue, and is told by its seq.
    const { listener, leave } = this.#fanOut.join(sessionId, drafts, budget);
    const reader = new LogReader(listener, after);
    try {
      yield* this.#missing(sessionId, reader, signal);
      for (;;) {
        const frame = await reader.next(signal);
        if (frame === undefined) return;
        if (frame.kind !== "behind") yield frame;
        else {
          const before = reader.last;
          yield* this.#missing(sessionId, reader, signal);
          if (reader.last > before) continue;
          // The table of a deleted session is empty: what was told is all there is.
          if (frame.event !== undefined) yield { kind: "event", event: frame.event };
          else if (!(await this.#exists(sessionId))) {
            const farewell = await reader.farewell(signal);
            if (farewell !== undefined) yield farewell;
            return;
          }
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

  async *#missing(sessionId: string, reader: LogReader, signal: AbortSignal): AsyncGenerator<LogFrame> {
    for (let more = true; more; ) {
      await this.#pages.take(sessionId);
      const page = await eventPage(this.#db, sessionId, reader.last);
      for (const event of page.events) {
        signal.throwIfAborted();
        reader.saw(event);
        yield { kind: "event", event };
      }
      more = page.more;
    }
  }

  async #exists(sessionId: string): Promise<boolean> {
    const row = await this.#db.selectFrom("sessions").select("id").where("id", "=", sessionId).executeTakeFirst();
    return row !== undefined;
  }

  #onTold(sessionId: string, payload: string): void {
    const [seq, origin] = payload.split(" ");
    if (origin === this.#origin && !this.#doubtful.has(sessionId)) return;
    this.#fanOut.wake(sessionId, Number(seq));
  }

  async #untilStored<T>(work: (log: LogTx) => Promise<T>, patience: AbortSignal | undefined): Promise<T> {
    for (let attempt = 1, waitMs = retryMs.first; ; attempt++, waitMs = Math.min(retryMs.most, waitMs * 2)) {
      patience?.throwIfAborted();
      try {
        return await this.#transact(work, patience);
      } catch (error) {
        // The database rolled one of two back that waited for each other.
        if (isDeadlock(error) && attempt <= deadlockRetries) continue;
        if (patience === undefined || !isDatabaseAway(error)) throw error;
        await sleep(waitMs, patience);
      }
    }
  }

  async #transact<T>(work: (log: LogTx) => Promise<T>, patience?: AbortSignal): Promise<T> {
    const appended: Appended[] = [];
    const later: [topic: string, payload: string][] = [];
    let done: { result: T } | undefined;
    try {
      await this.#db.transaction().execute(async (tx) => {
        const result = await work(this.#logTx(tx, appended, later));
        if (this.#shared) await this.#tellOthers(tx, appended);
        done = { result };
      });
    } catch (error) {
      // Only a COMMIT whose answer was lost leaves a doubt.
      if (done === undefined || !isDatabaseAway(error)) throw error;
      if (!(await this.#wasCommitted(appended, patience))) throw error;
    }
    for (const { sessionId, events } of appended) {
      this.#options.onCommitted?.(events);
      this.#fanOut.events(sessionId, events);
    }
    for (const [topic, payload] of later) await this.#options.bus.publish(topic, payload);
    return (done as { result: T }).result;
  }

  #logTx(tx: Tx, appended: Appended[], later: [string, string][]): LogTx {
    return {
      tx,
      append: async (input) => {
        const events = await this.#insert(tx, input);
        appended.push({ sessionId: input.sessionId, events });
        return events;
      },
      lock: (sessionId, generation) => lockSession(tx, sessionId, generation),
      publish: async (topic, payload) => {
        if (this.#shared) await notify(tx, topic, payload);
        else later.push([topic, payload]);
      },
    };
  }

  async #tellOthers(tx: Tx, appended: readonly Appended[]): Promise<void> {
    const newest = new Map(appended.map(({ sessionId, events }) => [sessionId, events.at(-1)?.seq]));
    for (const [sessionId, seq] of newest)
      if (seq !== undefined) await notify(tx, logTopic + sessionId, `${seq} ${this.#origin}`);
  }

  /** Waits until the transaction in doubt is over, then looks whether its first event is there. */
  async #wasCommitted(appended: readonly Appended[], patience: AbortSignal | undefined): Promise<boolean> {
    const first = appended.find(({ events }) => events.length > 0);
    const event = first?.events[0];
    // Nothing tells: the caller repeats what does no harm when it is done twice.
    if (first === undefined || event === undefined) return false;
    const { sessionId } = first;
    this.#doubtful.add(sessionId);
    const look = () =>
      this.#db.transaction().execute(async (tx) => {
        // The transaction in doubt has this row until it is over.
        await lockSession(tx, sessionId);
        return await tx.selectFrom("events").select("seq").where("id", "=", event.id).executeTakeFirst();
      });
    for (let waitMs = retryMs.first; ; waitMs = Math.min(retryMs.most, waitMs * 2)) {
      try {
        const found = await look();
        this.#doubtful.delete(sessionId);
        return found !== undefined;
      } catch (error) {
        if (patience === undefined || !isDatabaseAway(error)) throw error;
        await sleep(waitMs, patience);
      }
    }
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
    const rows = events.map((event) => ({
      session_id: input.sessionId,
      seq: event.seq,
      id: event.id,
      type: event.type,
      event_json: JSON.stringify(event),
      created_at: nowMs,
    }));
    for (const some of portions(tx, rows)) await tx.insertInto("events").values(some).execute();
    return events;
  }
}

async function lockSession(tx: Tx, sessionId: string, generation = Number.POSITIVE_INFINITY): Promise<void> {
  const query = tx.selectFrom("sessions").select("generation").where("id", "=", sessionId).$call(locked(tx));
  const row = await query.executeTakeFirst();
  if (row !== undefined && row.generation > generation) throw new StaleGenerationError(sessionId, generation);
}

function isDeadlock(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "40P01" || error.code === "40001");
}

function numbered(event: NewEvent, seq: number, nowMs: number): SessionEvent {
  return {
    ...event,
    id: event.id ?? newId("event", nowMs),
    seq,
    processed_at: new Date(nowMs).toISOString(),
  } as SessionEvent;
}
