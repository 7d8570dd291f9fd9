import { z } from "zod";

/** What a session does beside its turns. */
export const BackgroundTask = z
  .object({
    id: z.string().describe("What it is stopped by"),
    kind: z
      .enum(["agent", "shell", "monitor", "wakeup", "other"])
      .describe(
        "As long as an agent works the session is `running`; a shell and a monitor keep only its sandbox; a wake-up keeps nothing, and comes all the same",
      ),
    description: z.string(),
    due_at: z.string().optional().describe("RFC 3339: when a wake-up is due"),
    tool_use_id: z.string().optional().describe("The `agent.tool_use` event that began it"),
  })
  .meta({ id: "BackgroundTask" });
export type BackgroundTask = z.infer<typeof BackgroundTask>;

export const TaskStopped = z.object({ id: z.string(), type: z.literal("task_stopped") });
export type TaskStopped = z.infer<typeof TaskStopped>;
