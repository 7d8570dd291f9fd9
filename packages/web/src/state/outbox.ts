/** A message that the user has sent and the log does not show yet. */
export interface OutboxItem {
  /** Sent as `Idempotency-Key`, the same at every try: nothing is lost and nothing is doubled. */
  clientId: string;
  text: string;
  /** When the user sent it, ms since the epoch. */
  atMs: number;
  state: "sending" | "failed";
  /** Set when the server has taken it: the event that will replace this item. */
  eventId?: string;
  /** Why it could not be sent, in words. */
  problem?: string;
}

export type OutboxInput =
  | { type: "queued"; clientId: string; text: string; atMs: number }
  | { type: "acknowledged"; clientId: string; eventId: string }
  | { type: "failed"; clientId: string; problem: string }
  | { type: "retried"; clientId: string }
  | { type: "discarded"; clientId: string }
  /** Events that are in the log now. */
  | { type: "arrived"; has: (eventId: string) => boolean; clientIds: ReadonlySet<string> };

export function reduceOutbox(items: readonly OutboxItem[], input: OutboxInput): readonly OutboxItem[] {
  switch (input.type) {
    case "queued":
      if (items.some((item) => item.clientId === input.clientId)) return items;
      return [...items, { clientId: input.clientId, text: input.text, atMs: input.atMs, state: "sending" }];
    case "acknowledged":
      return replace(items, input.clientId, ({ clientId, text, atMs }) => ({
        clientId,
        text,
        atMs,
        state: "sending",
        eventId: input.eventId,
      }));
    case "failed":
      return replace(items, input.clientId, ({ clientId, text, atMs }) => ({
        clientId,
        text,
        atMs,
        state: "failed",
        problem: input.problem,
      }));
    case "retried":
      return replace(items, input.clientId, ({ clientId, text, atMs }) => ({ clientId, text, atMs, state: "sending" }));
    case "discarded":
      return items.filter((item) => item.clientId !== input.clientId);
    case "arrived": {
      const left = items.filter(
        (item) => !(item.eventId && input.has(item.eventId)) && !input.clientIds.has(item.clientId),
      );
      return left.length === items.length ? items : left;
    }
  }
}

/** How long the server remembers an `Idempotency-Key`, less a minute: after that, trying again could double a message. */
export const resendWindowMs = 9 * 60_000;

/** What to do with items that an earlier load of the page left behind. */
export function restoreOutbox(items: readonly OutboxItem[], nowMs: number): readonly OutboxItem[] {
  return items.map((item) =>
    item.state === "sending" && !item.eventId && nowMs - item.atMs > resendWindowMs
      ? {
          ...item,
          state: "failed",
          problem: "It is not known whether this message was taken; look above before sending it again.",
        }
      : item,
  );
}

function replace(
  items: readonly OutboxItem[],
  clientId: string,
  change: (item: OutboxItem) => OutboxItem,
): readonly OutboxItem[] {
  const at = items.findIndex((item) => item.clientId === clientId);
  const item = items[at];
  return item ? items.with(at, change(item)) : items;
}
