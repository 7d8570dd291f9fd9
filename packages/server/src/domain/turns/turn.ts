import { waitFor } from "../sandboxes/sandboxes.ts";

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
  readonly messageId: string;
  readonly content: unknown;
  readonly #controller = new AbortController();
  #ended = Promise.withResolvers<TurnEnd>();
  /** The reader asked for its end. */
  stopped = false;
  /** Its line went, or is going, to Claude. */
  sent: boolean;
  finished = false;

  constructor(message: { id: string; content: unknown; sent: boolean }) {
    this.messageId = message.id;
    this.content = message.content;
    this.sent = message.sent;
  }

  /** Ends what is prepared for it. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** How it ended; rejects with the signal's reason when that aborts first. */
  untilEnd(signal: AbortSignal): Promise<TurnEnd> {
    return waitFor(this.#ended.promise, signal);
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  end(how: TurnEnd): void {
    if (how.kind === "done") this.finished = true;
    this.#ended.resolve(how);
  }

  /** For another process. */
  again(): void {
    this.#ended = Promise.withResolvers<TurnEnd>();
  }
}
