import { z } from "zod";
import {
  ClaudeCommands,
  ClaudeContext,
  ClaudeFiles,
  ClaudeHooks,
  ClaudeMcp,
  ClaudeModels,
  ClaudePermissions,
  ClaudePlan,
  ClaudeSettings,
  type ClaudeStateName,
  ClaudeUsage,
} from "../claude-state.ts";
import { flag } from "./parameters.ts";
import { define } from "./route.ts";

const start = flag("Starts Claude Code where it does not live; no message is sent, no model is asked");

const description =
  "From the session's living Claude Code, in a turn, too, or what it said last (`live`, `as_of`); 409 `not_started` where it never did. No model is asked.";

const entry = <const N extends ClaudeStateName, S extends z.ZodType>(name: N, summary: string, schema: S) =>
  define({
    method: "get",
    path: `/v1/sessions/{id}/claude/${name}`,
    tag: "Holdfast",
    summary,
    description,
    auth: "account",
    query: { start },
    ok: { status: 200, description: "What Claude Code says", schema },
    problems: [
      "session_not_found",
      "session_archived",
      "session_terminated",
      "not_started",
      "claude_did_not_answer",
      "claude_answer_refused",
      "claude_answer_too_large",
      "claude_start_failed",
      "sandbox_unavailable",
      "environment_busy",
    ],
  });

const query = {
  form: "text",
  schema: z.string().max(256, { error: "must be of 256 characters at the most" }).default(""),
  description: "The beginning, or a part, of a path; without it the top level",
} as const;

const files = entry("files", "Suggest files of a session's workspace", ClaudeFiles);

/** What Claude Code says of itself. */
export const claudeStateRoutes = {
  context: entry("context", "What fills a session's context window", ClaudeContext),
  models: entry("models", "List the models that a session can be set to", ClaudeModels),
  mcp: entry("mcp", "List a session's MCP servers and their tools", ClaudeMcp),
  permissions: entry("permissions", "List the permission rules that are in force in a session", ClaudePermissions),
  commands: entry("commands", "List a session's slash commands, agents and output styles", ClaudeCommands),
  files: define({ ...files, query: { start, query } }),
  settings: entry("settings", "What Claude Code is set to in a session", ClaudeSettings),
  usage: entry("usage", "What a session's Claude Code process has used", ClaudeUsage),
  hooks: entry("hooks", "List a session's hooks", ClaudeHooks),
  plan: entry("plan", "The plan of a session's plan mode", ClaudePlan),
} as const;
