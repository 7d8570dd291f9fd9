import { AppError, type Message, type MessageUpdate, type NewEvent } from "@holdfast/protocol";
import type { Tx } from "../../ports/database.ts";
import type { LogTx } from "../../ports/event-log.ts";
import { sessionRow } from "../sessions/lists.ts";
import { checkMessage, checkRoom } from "../sessions/send.ts";
import type { SessionsDeps } from "../sessions/sessions.ts";
import { changeQueued, type MessageRow, messageRow, openMessages, removeQueued, toMessage } from "./message-rows.ts";

interface Target {
  accountId: string;
  sessionId: string;
  /** Of the `user.message` event. */
  messageId: string;
}

/** The queue of a session: what waits can be read, changed and removed until Claude has it. */
export class Messages {
  readonly #deps: SessionsDeps;

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
  }

  /** Oldest first. */
  async list(accountId: string, sessionId: string): Promise<{ data: Message[] }> {
    const { db } = this.#deps;
    await sessionRow(db, accountId, sessionId);
    return { data: (await openMessages(db, sessionId)).map(toMessage) };
  }

  /** Of an edit and the start of its turn exactly one wins: the other gets `message_taken`. */
  async update(target: Target, change: MessageUpdate): Promise<Message> {
    const { log, clock, turns } = this.#deps;
    const { accountId, sessionId, messageId } = target;
    const { content, delivery } = change;
    if (content !== undefined) checkMessage({ content }, "content");
    const row = await log.transact(async ({ tx, append, lock }) => {
      await lock(sessionId);
      const { archived_at: archivedAt } = await sessionRow(tx, accountId, sessionId);
      if (archivedAt !== null) throw new AppError("session_archived");
      const before = await waiting(tx, target);
      if (content !== undefined) await checkRoom(tx, sessionId, [content], before.id);
      const changed = {
        ...(content === undefined ? {} : { content_json: JSON.stringify(content), edited_at: clock.now() }),
        ...(delivery === undefined ? {} : { delivery }),
      };
      if (Object.keys(changed).length > 0 && !(await changeQueued(tx, before.id, changed))) throw taken();
      if (content !== undefined) {
        const event: NewEvent = { type: "holdfast.message", message_id: messageId, state: "edited", content };
        await append({ sessionId, events: [event] });
      }
      return { ...before, ...changed };
    });
    turns.wake(sessionId);
    return toMessage(row);
  }

  async remove(target: Target): Promise<{ id: string; type: "message_deleted" }> {
    const { log, clock, turns } = this.#deps;
    const { accountId, sessionId, messageId } = target;
    await log.transact(async (logTx) => {
      await logTx.lock(sessionId);
      await sessionRow(logTx.tx, accountId, sessionId);
      await removeMessage(logTx, await waiting(logTx.tx, target), clock.now());
    });
    // Its turn may be being prepared.
    turns.wake(sessionId);
    return { id: messageId, type: "message_deleted" };
  }
}

async function removeMessage({ tx, append }: LogTx, row: MessageRow, nowMs: number): Promise<void> {
  if (!(await removeQueued(tx, row.id, nowMs))) throw taken();
  const event: NewEvent = { type: "holdfast.message", message_id: row.event_id, state: "removed" };
  await append({ sessionId: row.session_id, events: [event] });
}

async function waiting(tx: Tx, { sessionId, messageId }: Target): Promise<MessageRow> {
  const row = await messageRow(tx, sessionId, messageId);
  if (row === undefined || row.removed_at !== null) throw new AppError("message_not_found");
  if (row.state !== "queued" || row.stop_requested_at !== null) throw taken();
  return row;
}

const taken = () => new AppError("message_taken");
