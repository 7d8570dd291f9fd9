import { randomUUID } from "node:crypto";
import { interruptRequest, type Signal } from "@holdfast/claude";
import { cancelWakeups, markFired, pendingWakeups, storeWakeup, wakeupEvent } from "../wakeups/wakeup-rows.ts";
import type { HeldProcess } from "./held-process.ts";
import type { LinePart } from "./line-parts.ts";
import type { SessionDesk } from "./session-desk.ts";

type Of<T extends Signal["type"]> = Extract<Signal, { type: T }>;

/** Claude wants to be woken: that outlives its process. */
export function onWakeupSet(desk: SessionDesk, running: HeldProcess, signal: Of<"wakeup_set">): LinePart {
  const nowMs = desk.deps.clock.now();
  const { kind, claudeId, prompt, reason, cron, dueAt, maxAgeMs } = signal;
  const expiresAt = maxAgeMs === null ? null : nowMs + maxAgeMs;
  const whose = { sessionId: desk.session.id, processId: running.process.processId, nowMs };
  return {
    more: async (tx) => ({
      events: await storeWakeup(tx, whose, { kind, claudeId, prompt, reason, cron, dueAt, expiresAt }),
    }),
  };
}

export function onWakeupCancelled(desk: SessionDesk, { claudeId }: Of<"wakeup_cancelled">): LinePart {
  return { more: async (tx) => ({ events: await cancelWakeups(tx, desk.session.id, { claudeId }) }) };
}

/**
 * Claude Code has fired one by itself; which job it was it does not say: the one that is due first. One that was taken
 * back here, or came while its process was away, is unwanted now: its turn is stopped.
 */
export function onWakeupFired(
  desk: SessionDesk,
  signal: Of<"wakeup_fired">,
  say: (line: string, lineId: string) => void,
): LinePart {
  const { id } = desk.session;
  let isUnwanted = false;
  return {
    more: async (tx) => {
      const nowMs = desk.deps.clock.now();
      const [row] = (await pendingWakeups(tx, [id])).filter(({ kind }) => kind === signal.kind);
      if (row !== undefined && (await markFired(tx, row, nowMs))) return { events: [wakeupEvent(row, "fired")] };
      const known = await tx
        .selectFrom("wakeups")
        .select("id")
        .where("session_id", "=", id)
        .where("kind", "=", signal.kind)
        .limit(1)
        .executeTakeFirst();
      isUnwanted = known !== undefined;
      return { events: [] };
    },
    after: () => {
      const requestId = randomUUID();
      if (isUnwanted) say(interruptRequest(requestId), requestId);
    },
  };
}
