import type { EventOf, SessionEvent } from "@holdfast/protocol";
import type { UserRow } from "./row-types.ts";

/** The user's messages as the log is walked through: which of them wait, and whose turn it is. */
export class MessageTracker {
  /** Sent while a turn ran, and not Claude's yet; oldest first. */
  readonly held = new Map<string, UserRow>();
  readonly #all = new Map<string, UserRow>();
  /** A turn runs, or is about to. */
  #busy: boolean;
  /** The log says when a message's turn begins; older servers did not. */
  #told = false;
  /** A turn runs, and whether the server says whose is not known yet. */
  #undecided = false;
  #turn: string | null = null;
  readonly #unread = new Set<string>();
  /** A turn has ended within the events that are loaded. */
  #hasEnded = false;

  /** `busy`: a turn ran already where the events begin. */
  constructor(busy: boolean) {
    this.#busy = busy;
  }

  /** The message whose turn runs; null when none does, or Claude began it by itself. */
  get turn(): string | null {
    return this.#turn;
  }

  /** What Claude has not read: it waits, or was taken back. */
  get unread(): ReadonlySet<string> {
    return this.#unread;
  }

  row(id: string): UserRow | undefined {
    return this.#all.get(id);
  }

  /** Each gives the rows that are to be shown from here on. */
  sent(event: EventOf<"user.message">): UserRow[] {
    const { id, content } = event;
    const row: UserRow = { kind: "user", id, event, content, edited: false, steered: false, removed: false };
    this.#all.set(id, row);
    if (this.#busy) {
      this.held.set(id, row);
      this.#unread.add(id);
      return [];
    }
    this.#busy = true;
    // Its turn is what comes, also while it is being prepared.
    this.#turn = id;
    return [row];
  }

  changed({ message_id: id, state, content }: EventOf<"holdfast.message">): UserRow[] {
    const row = this.#all.get(id);
    if (state === "started" || state === "steered") {
      this.#told = true;
      this.#busy = true;
      this.#turn = id;
    }
    // Sent before the events that are loaded.
    if (!row) return [];
    if (content) row.content = content;
    if (state === "edited") row.edited = true;
    if (state === "edited") return [];
    if (state === "steered") row.steered = true;
    if (state === "removed") row.removed = true;
    if (row.removed) this.#unread.add(id);
    else this.#unread.delete(id);
    return this.held.delete(id) ? [row] : [];
  }

  /** `byItself`: nobody has said anything, and Claude goes on. */
  running(): { byItself: boolean } {
    const byItself = !this.#busy && this.held.size === 0 && this.#hasEnded;
    this.#busy = true;
    this.#undecided = !this.#told;
    return { byItself };
  }

  /** Claude says something. What an older server holds back by then it has given to Claude. */
  answered(): UserRow[] {
    if (!this.#undecided || this.#told) return [];
    this.#undecided = false;
    return this.#release();
  }

  ended(): void {
    this.#hasEnded = true;
    this.#busy = false;
    this.#turn = null;
  }

  #release(): UserRow[] {
    const rows = [...this.held.values()];
    this.held.clear();
    for (const { id, removed } of rows) if (!removed) this.#unread.delete(id);
    return rows;
  }
}

/** Whether a turn ran already at the first of these events. */
export function beginsBusy(events: Iterable<SessionEvent>): boolean {
  let any = false;
  for (const event of events) {
    if (!any && event.seq === 1) return false;
    any = true;
    if (event.type === "session.status_running") return false;
    if (event.type === "session.status_idle" || event.type === "session.status_terminated") return true;
  }
  return any;
}
