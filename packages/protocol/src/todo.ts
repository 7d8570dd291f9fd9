import { z } from "zod";

/** An entry of the list that Claude keeps of its work. */
export const Todo = z
  .object({ id: z.string(), content: z.string(), status: z.enum(["pending", "in_progress", "completed"]) })
  .meta({ id: "Todo" });
export type Todo = z.infer<typeof Todo>;
