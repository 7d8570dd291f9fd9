import type { Session } from "@holdfast/protocol";
import type { IconName } from "../../ui/icons.tsx";

export function titleOf(session: Session | undefined): string {
  return session?.title?.trim() || "Untitled session";
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
