import { TaskStopped } from "../background.ts";
import { define } from "./route.ts";

/** What runs beside a session's turns. */
export const backgroundRoutes = {
  stop: define({
    method: "post",
    path: "/v1/sessions/{id}/background/{task_id}/stop",
    tag: "Holdfast",
    summary: "Stop what runs in the background of a session",
    description:
      "One of `holdfast.background`: an agent, a shell, a monitor. Claude is told and may go on by itself; `user.interrupt` ends all agents and what follows from them.",
    auth: "account",
    ok: { status: 200, description: "It is being stopped", schema: TaskStopped },
    problems: ["session_not_found", "task_not_found"],
  }),
} as const;
