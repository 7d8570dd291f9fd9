import type { Followed } from "./messages.ts";

/** The stream's address for these sessions, each from its cursor. */
export function streamUrl(followed: readonly Followed[]): string {
  const sessions = followed.map(({ id, after }) => `${id}:${after}`).join(",");
  const withDrafts = followed.filter(({ drafts }) => drafts).map(({ id }) => id);
  const query = new URLSearchParams({ sessions });
  if (withDrafts.length > 0) {
    query.set("event_deltas", "agent.message,agent.thinking");
    query.set("deltas_of", withDrafts.join(","));
  }
  return `/v1/events/stream?${query}`;
}
