import { controlErrorResponse, type Signal } from "@holdfast/claude";
import type { Tx } from "../../ports/database.ts";
import type { LineEffect } from "./claude-process.ts";
import { TurnFailure } from "./failure.ts";

/** What is said at once to a request of the CLI, so that it never waits for an answer that nobody can give. */
export function answerTo(signal: Signal): string | undefined {
  if (signal.type === "control_request") {
    return controlErrorResponse(signal.requestId, `Holdfast does not serve ${signal.subtype}`);
  }
  return undefined;
}

/** Both effects of one line; their events are the same line's. */
export function merge(first: LineEffect | undefined, second: LineEffect | undefined): LineEffect | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  const longer = first.events.length > second.events.length ? first.events : second.events;
  return {
    events: longer,
    session: { ...first.session, ...second.session },
    more: async (tx) => {
      const [one, two] = [await first.more?.(tx), await second.more?.(tx)];
      return {
        events: [...(one?.events ?? []), ...(two?.events ?? [])],
        session: { ...one?.session, ...two?.session },
      };
    },
    also: async (tx) => {
      await first.also?.(tx);
      await second.also?.(tx);
    },
    after: () => {
      first.after?.();
      second.after?.();
    },
  };
}

/** Claude has it: from now on it is part of the conversation. */
export async function markTaken(tx: Tx, messageId: string): Promise<void> {
  await tx
    .updateTable("messages")
    .set({ state: "taken" })
    .where("id", "=", messageId)
    .where("state", "=", "sent")
    .execute();
}

export function interruptedByRestart(why: string): TurnFailure {
  return new TurnFailure("turn_interrupted", { detail: `The turn was cut off by a restart of the server: ${why}` });
}
