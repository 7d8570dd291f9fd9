import type { MessageRow } from "../messages/message-rows.ts";
import { inHand, nextOf, openMessages, takeQueued } from "../messages/message-rows.ts";
import { TurnStopped } from "./failure.ts";
import type { SessionDesk } from "./session-desk.ts";
import type { Turn } from "./turn.ts";

/** What runs next, out of the queue: from now on nobody changes it any more. Throws `TurnStopped` when nothing is left. */
export async function claimNext(desk: SessionDesk, turn: Turn): Promise<MessageRow> {
  return await desk.store(async ({ tx, append, lock }) => {
    await lock(desk.session.id, desk.session.generation);
    const row = nextOf(await openMessages(tx, desk.session.id));
    // Its end is the end of this one.
    if (row !== undefined) turn.id = row.id;
    if (row === undefined || row.stop_requested_at !== null) throw new TurnStopped("nothing is left to do");
    await takeQueued(tx, row);
    const content = row.edited_at === null ? {} : { content: JSON.parse(row.content_json) as never };
    await append({
      ...desk.target,
      events: [{ type: "holdfast.message", message_id: row.event_id, state: "started", ...content }],
    });
    return row;
  });
}

/** A message that shall run now although a turn runs; undefined when there is none, or no turn any more. */
export async function claimSteering(desk: SessionDesk): Promise<MessageRow | undefined> {
  return await desk.store(async ({ tx, append, lock }) => {
    await lock(desk.session.id, desk.session.generation);
    const rows = await openMessages(tx, desk.session.id);
    const row = nextOf(rows);
    const running = inHand(rows);
    // Without a turn that runs it is simply the next one; with one that is being stopped it would be hit, too.
    if (running.length === 0 || running.some((each) => each.stop_requested_at !== null)) return undefined;
    if (row?.delivery !== "now" || row.stop_requested_at !== null) return undefined;
    await takeQueued(tx, row);
    const content = row.edited_at === null ? {} : { content: JSON.parse(row.content_json) as never };
    await append({
      ...desk.target,
      events: [{ type: "holdfast.message", message_id: row.event_id, state: "steered", ...content }],
    });
    return row;
  });
}
