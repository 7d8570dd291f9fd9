import type { Session } from "@holdfast/protocol";
import type { IconName } from "../../ui/icons.tsx";

export function titleOf(session: Session | undefined): string {
  return session?.title?.trim() || "Untitled session";
}

const maxTitle = 80;

/** What a session is called at first: the beginning of its first message. */
export function titleFor(text: string): string {
  const line = text.trim().split("\n")[0] ?? "";
  return line.length <= maxTitle ? line : `${line.slice(0, maxTitle - 1).trimEnd()}…`;
}

/** State as icon and word; colour alone never tells it. */
export function stateOf(session: Session): { icon: IconName; word: string } {
  switch (session.status) {
    case "running":
      return { icon: "dot", word: "Working" };
    case "rescheduling":
      return { icon: "circle", word: "Starting again" };
    case "terminated":
      return { icon: "stop", word: "Ended" };
    default:
      return { icon: "check", word: "Idle" };
  }
}
