import type { Session } from "@holdfast/protocol";
import { type LiveSession, needsAnswer } from "../../state/live-list.ts";
import type { IconName } from "../../ui/icons.tsx";

export function titleOf(session: Pick<Session, "title"> | undefined): string {
  return session?.title?.trim() || "Untitled session";
}

const maxTitle = 80;

/** What a session is called at first: the beginning of its first message. */
export function titleFor(text: string): string {
  const line = text.trim().split("\n")[0] ?? "";
  return line.length <= maxTitle ? line : `${line.slice(0, maxTitle - 1).trimEnd()}…`;
}

/** State as icon and word; colour alone never tells it. */
export function stateOf(live: LiveSession): { state: string; icon: IconName; word: string } {
  if (needsAnswer(live)) return { state: "asks", icon: "warning", word: "Needs your answer" };
  switch (live.state) {
    case "working":
      return { state: "working", icon: "dot", word: "Working" };
    case "ended":
    case "deleted":
      return { state: "ended", icon: "stop", word: "Ended" };
    default:
      return { state: "idle", icon: "check", word: "Idle" };
  }
}
