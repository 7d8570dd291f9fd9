import { eventIdOf } from "@holdfast/claude";
import type { NewEvent } from "@holdfast/protocol";
import { errorEvent, TurnFailure } from "./failure.ts";
import type { LineEffect } from "./process-owner.ts";

/** The sandbox's disk took no more output. The guest says so on every connection; the log once per process. */
export function spoolFailed(sessionId: string, processId: string, message: string): LineEffect {
  const id = eventIdOf(sessionId, "spool_failed", processId);
  return {
    events: [],
    more: async (tx) => {
      const known = await tx.selectFrom("events").select("seq").where("id", "=", id).executeTakeFirst();
      if (known !== undefined) return { events: [] };
      return { events: [{ ...errorEvent(new TurnFailure("spool_full", { detail: message })), id }] };
    },
  };
}

/** We stand at `from`, the guest goes on at `to`: it has dropped what is between, or we know of more than it has. */
export function missingOutput(from: number, to: number): NewEvent {
  const [bytes, why] =
    to > from
      ? [to - from, "the sandbox has let go of it already; the database may be an older one than the sandbox knows"]
      : [from - to, "the sandbox does not have it, though it was read before"];
  return {
    type: "holdfast.notice",
    kind: "output_missing",
    level: "error",
    text: `${bytes} bytes of Claude Code's output are missing: ${why}. What follows is shown from where the sandbox has it.`,
    data: { missing_bytes: bytes, from_offset: from, to_offset: to },
  };
}
