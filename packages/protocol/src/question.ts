import { z } from "zod";

/** One way to say "always": exactly what it shows is what is remembered. */
export const PermissionSuggestion = z.object({
  /** What `remember` names. */
  id: z.string(),
  label: z.string(),
  /** In Claude Code's form: `Bash(npm test:*)`. They are stored for the workspace. */
  rules: z.array(z.string()),
  /** The session's permission mode from then on. */
  mode: z.enum(["acceptEdits"]).optional(),
});
export type PermissionSuggestion = z.infer<typeof PermissionSuggestion>;

/** A question of Claude's with choices. */
export const ChoiceQuestion = z.object({
  /** Also the key of its answer. */
  question: z.string(),
  /** A word or two. */
  header: z.string(),
  multi_select: z.boolean(),
  options: z.array(z.object({ label: z.string(), description: z.string(), preview: z.string().optional() })),
});
export type ChoiceQuestion = z.infer<typeof ChoiceQuestion>;

/** How the session goes on after a plan was approved. */
export const PlanMode = z.enum(["default", "acceptEdits"]);
export type PlanMode = z.infer<typeof PlanMode>;

/** What a device needs to draw the question; the log's `holdfast.permission_request`. */
export const permissionRequest = {
  /** The `id` of the `agent.tool_use` event: what `user.tool_confirmation` names. */
  tool_use_id: z.string(),
  /** `tool`: may it run; `question`: which of these; `plan`: is this right. */
  kind: z.enum(["tool", "question", "plan"]),
  tool_name: z.string(),
  /** One line: what is asked. */
  title: z.string(),
  /** Claude's own words about the call; may be empty. */
  description: z.string(),
  /** What will run, as Claude Code will run it. Long texts are clipped. */
  input: z.record(z.string(), z.unknown()),
  /** Why Claude Code asks; null when it does not say. */
  reason: z.string().nullable(),
  /** The path that needs the permission; null when it is about none. */
  blocked_path: z.string().nullable(),
  /** False: it can only be denied (a change that is asked for in plan mode). */
  can_allow: z.boolean(),
  /** What `remember` may name; empty: only this once. */
  suggestions: z.array(PermissionSuggestion),
  /** Of kind `question`. */
  questions: z.array(ChoiceQuestion).optional(),
  /** Of kind `plan`: Markdown. */
  plan: z.string().optional(),
  /** A subagent asks: the `agent.tool_use` event that started it, when it is known. */
  parent_event_id: z.string().optional(),
};

/** How a question came to its end; the log's `holdfast.permission_resolved`. */
export const permissionResolved = {
  tool_use_id: z.string(),
  /** `expired`: its process, turn or sandbox ended first. `withdrawn`: Claude Code asks no more. */
  outcome: z.enum(["allowed", "denied", "expired", "withdrawn"]),
  /** The rules that are remembered, joined by commas. */
  rule: z.string().optional(),
  /** What Claude was told with a denial; otherwise why nobody was waited for any more. */
  message: z.string().optional(),
  /** Of kind `question`: as Claude got them. */
  answers: z.record(z.string(), z.string()).optional(),
  /** The permission mode that came with it. */
  mode: PlanMode.optional(),
  /** The denial also stopped the turn. */
  stopped: z.boolean().optional(),
  /** Who answered: a key's name, or a browser. */
  answered_by: z.string().optional(),
};

/** What an answer may say beyond allow and deny. */
export const ConfirmationDetails = z.strictObject({
  /** Id of one of the question's suggestions: allow it always. */
  remember: z.string().min(1).max(64).optional(),
  /** By question text: the label, several labels, or words of one's own. */
  answers: z
    .record(
      z.string().max(10_000),
      z.union([z.string().max(10_000), z.array(z.string().max(10_000)).max(50)], {
        error: "must be a text or a list of texts",
      }),
    )
    .refine((answers) => Object.keys(answers).length <= 100, { message: "has more than 100 answers" })
    .optional(),
  /** With a denial: ends the turn as well. */
  stop: z.boolean().optional(),
  /** With an approved plan. Without it: as before the plan. */
  mode: PlanMode.optional(),
});
export type ConfirmationDetails = z.infer<typeof ConfirmationDetails>;

/** What is always allowed in a workspace. */
export const PermissionRule = z
  .object({
    id: z.string(),
    workspace_id: z.string(),
    rule: z.string().describe("In Claude Code's form: `Bash(npm test:*)`"),
    session_id: z.string().describe("Where it was allowed"),
    created_by: z.string().describe("Who allowed it: a key's name, or a browser"),
    created_at: z.string().describe("RFC 3339"),
  })
  .meta({ id: "PermissionRule" });
export type PermissionRule = z.infer<typeof PermissionRule>;
