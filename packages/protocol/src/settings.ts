import { z } from "zod";
import { Effort, ModelId } from "./agent.ts";

/** How Claude Code may act, the most careful one first; `dontAsk` refuses what would be asked. */
export const PermissionMode = z.enum(["plan", "dontAsk", "default", "acceptEdits", "bypassPermissions"]);
export type PermissionMode = z.infer<typeof PermissionMode>;

/** What a session is set to. It stays so over restarts, whoever set it: a client, an answer, or Claude itself. */
export const SessionSettings = z
  .object({
    permission_mode: z.string().describe("One of those that can be set, or a name of Claude Code's own"),
    model: z.string().nullable().describe("Null: the agent's, or Claude Code's own choice"),
    effort: z.string().nullable().describe("Null: the agent's, or the model's own"),
  })
  .meta({ id: "SessionSettings" });
export type SessionSettings = z.infer<typeof SessionSettings>;

/** What is not named stays. */
export const SettingsChange = z.strictObject({
  permission_mode: PermissionMode.optional(),
  /** Null: the agent's, or Claude Code's own choice. */
  model: ModelId.nullable().optional(),
  effort: Effort.nullable().optional(),
});
export type SettingsChange = z.infer<typeof SettingsChange>;
