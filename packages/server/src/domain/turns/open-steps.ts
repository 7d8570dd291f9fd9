import type { EventOf, NewEvent } from "@holdfast/protocol";
import type { SessionDesk } from "./session-desk.ts";

/** Steps that are told of lie no further back than this: a turn's preparation comes first in it. */
const eventsBack = 1_000;

/** Who began them is gone. Saving a workspace is left to who goes on with that. */
const left: ReadonlySet<string> = new Set(["image", "sandbox", "permissions", "claude"]);

/** Says of each step that a server of before had begun that it will not come to its end. */
export async function endOpenSteps(desk: SessionDesk): Promise<void> {
  const open = await openSteps(desk);
  if (open.length === 0) return;
  await desk.append(
    open.map(
      ({ step_id, step, title }): NewEvent => ({
        type: "holdfast.step",
        step_id,
        step,
        title,
        state: "failed",
        detail: "Cut off by a restart of the server",
      }),
    ),
  );
}

async function openSteps({ deps, session }: SessionDesk): Promise<EventOf<"holdfast.step">[]> {
  const { last_seq } = await deps.db
    .selectFrom("sessions")
    .select("last_seq")
    .where("id", "=", session.id)
    .executeTakeFirstOrThrow();
  const rows = await deps.db
    .selectFrom("events")
    .select("event_json")
    .where("session_id", "=", session.id)
    .where("seq", ">", last_seq - eventsBack)
    .where("type", "=", "holdfast.step")
    .orderBy("seq", "asc")
    .execute();
  const latest = new Map<string, EventOf<"holdfast.step">>();
  for (const { event_json } of rows) {
    const event = JSON.parse(event_json) as EventOf<"holdfast.step">;
    latest.set(event.step_id, event);
  }
  return [...latest.values()].filter(({ step, state }) => state === "running" && left.has(step));
}
