import type { EventOf, NewEvent } from "@holdfast/protocol";
import type { Tx } from "../../ports/database.ts";

/** Adds a turn's cost and tokens to the session's. */
export async function addUsage(tx: Tx, sessionId: string, events: readonly NewEvent[]): Promise<void> {
  const result = events.find(
    (event): event is NewEvent & EventOf<"holdfast.turn_result"> => event.type === "holdfast.turn_result",
  );
  if (result === undefined) return;
  const row = await tx
    .selectFrom("sessions")
    .select(["usage_json", "cost_usd"])
    .where("id", "=", sessionId)
    .executeTakeFirstOrThrow();
  const usage = JSON.parse(row.usage_json) as Record<string, number>;
  const add = (name: "input_tokens" | "output_tokens" | "cache_read_input_tokens") =>
    (usage[name] = (usage[name] ?? 0) + result.usage[name]);
  add("input_tokens");
  add("output_tokens");
  add("cache_read_input_tokens");
  await tx
    .updateTable("sessions")
    .set({ usage_json: JSON.stringify(usage), cost_usd: row.cost_usd + result.cost_usd })
    .where("id", "=", sessionId)
    .execute();
}
