import { waitFor } from "@holdfast/std";
import type { MessageRow } from "../messages/message-rows.ts";
import { TurnStopped } from "./failure.ts";
import type { HeldProcess } from "./held-process.ts";

/** How a turn's work in Claude came to its end. */
export type TurnEnd =
  /** Its end is in the log. */
  | { kind: "done" }
  /** Nothing ran: start another process in this way, and send the message again. */
  | { kind: "restart"; conversation: "new" | "resume" }
  | { kind: "lost"; error: unknown };

/** One user message that is being worked on. */
export class Turn {
  /** Of the message; also the `uuid` of its line. */
  id: string;
  content: unknown;
  /** Its line went, or is going, to Claude. */
  sent: boolean;
  /** Claude has begun it. */
  taken: boolean;
  /** The reader asked for its end. */
  stopped = false;
  /** It was said in the middle of another turn, which shall end for it. */
  readonly steers: boolean;
  /** It had begun when another one was sent that shall run at once: that one ends it, as it would any turn. */
  superseded = false;
  /** Claude has said something for it, and may have done something: it is never sent a second time. */
  answered = false;
  finished = false;
  /** The process that has its line. */
  process: HeldProcess | undefined;
  readonly #controller = new AbortController();
  #ended = Promise.withResolvers<TurnEnd>();

  constructor(row: MessageRow, { steers = false } = {}) {
    this.id = row.id;
    this.content = JSON.parse(row.content_json) as unknown;
    this.sent = row.state !== "queued";
    this.taken = row.state === "taken";
    this.steers = steers;
    if (row.stop_requested_at !== null && !this.sent) this.stop();
  }

  /** While it is prepared another message may become the next one, or this one change. */
  take(row: MessageRow): void {
    this.id = row.id;
    this.content = JSON.parse(row.content_json) as unknown;
    this.sent = true;
  }

  /** Ends what is prepared for it. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Nobody wanted its end, and nothing came of it yet: whatever hit it, it may be sent again. */
  get isUntouched(): boolean {
    return !this.stopped && !this.superseded && !this.answered;
  }

  stop(): void {
    this.stopped = true;
    if (!this.sent) this.abort();
  }

  /** No process has it. */
  abort(): void {
    this.#controller.abort(new TurnStopped("stopped by the reader"));
  }

  /** How it ended; rejects with the signal's reason when that aborts first. */
  untilEnd(signal: AbortSignal): Promise<TurnEnd> {
    return waitFor(this.#ended.promise, signal);
  }

  end(how: TurnEnd): void {
    if (how.kind === "done") this.finished = true;
    this.#ended.resolve(how);
  }

  /** For another process. */
  again(): void {
    this.taken = false;
    this.process = undefined;
    this.#ended = Promise.withResolvers<TurnEnd>();
  }
}
