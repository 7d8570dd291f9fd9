import type { DraftFrame, NewEvent, SessionEvent } from "@holdfast/protocol";
import type { ByteBudget } from "@holdfast/std";
import type { Updateable } from "kysely";
import type { Schema, Tx } from "./database.ts";

export interface AppendInput {
  sessionId: string;
  /** Of the writer's lease. Refused with `StaleGenerationError` when the session has a higher one. */
  generation?: number;
  events: readonly NewEvent[];
  /** Columns of the session that change together with the events. */
  session?: Omit<Updateable<Schema["sessions"]>, "id" | "last_seq" | "updated_at">;
  /** When it was said; default: now. */
  atMs?: number;
}

export interface LogTx {
  /** For everything that must be committed together with the events. */
  readonly tx: Tx;
  append(input: AppendInput): Promise<SessionEvent[]>;
  /**
   * The session's row stays as it is until the end; what is read after this is what counts. Rejects with
   * `StaleGenerationError` when the session has a higher generation than the given one.
   */
  lock(sessionId: string, generation?: number): Promise<void>;
  /** Told to the subscribers of `ServerBus`, on every server, if and when this is committed. */
  publish(topic: string, payload: string): Promise<void>;
}

export interface TransactOptions {
  /**
   * Goes on trying while the database is away, until this aborts; without it a short absence is waited out, then it
   * rejects with `DatabaseAwayError`. `work` may run more than once; what it appends is stored once.
   */
  patience?: AbortSignal;
}

export interface ReadOptions {
  sessionId: string;
  /** Seq of the newest event that the reader already has; 0 for all. */
  after: number;
  signal: AbortSignal;
  /** Which drafts the reader wants beside the events. */
  drafts?: ReadonlySet<string>;
  /** How much may wait for the reader; shared by one who reads several sessions. */
  budget?: ByteBudget;
}

/** Events have a `seq`; drafts have none. */
export type LogFrame = { kind: "event"; event: SessionEvent } | { kind: "draft"; draft: DraftFrame };

/** The log of all sessions: events are committed first, then shown. */
export interface EventLog {
  /** One transaction; what it appended is published, in order, once it is committed. */
  transact<T>(work: (log: LogTx) => Promise<T>, options?: TransactOptions): Promise<T>;
  append(input: AppendInput, options?: TransactOptions): Promise<SessionEvent[]>;
  /** What the reader lacks, then what comes, until the signal aborts. Rejects with `QueueOverflowError` when the reader is too slow. */
  read(options: ReadOptions): AsyncIterable<LogFrame>;
  /** Live text: shown, never stored. */
  publishDraft(sessionId: string, draft: DraftFrame): void;
  /** Forgets drafts that will not become events. */
  clearDrafts(sessionId: string): void;
  /** Readers that are attached now. */
  listenerCount(sessionId?: string): number;
}

/** A newer lease writes this session: whoever gets this has lost it and must stop. */
export class StaleGenerationError extends Error {
  override name = "StaleGenerationError";
  constructor(sessionId: string, generation: number) {
    super(`session ${sessionId} has a newer lease than generation ${generation}`);
  }
}
