import type { z } from "zod";
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
  type ClaudeState,
  type ClaudeStateName,
  ClaudeUsage,
} from "../../src/claude-state.ts";
import type { Shape } from "./shape.ts";

const known = { live: true, as_of: "2026-03-01T09:00:00Z" };

export const claudeStates: { [N in ClaudeStateName]: ClaudeState<N> } = {
  context: {
    ...known,
    model: "claude-opus-4-8",
    used_tokens: 21_000,
    max_tokens: 200_000,
    percent_used: 10.5,
    auto_compact: { enabled: true, at_tokens: 160_000 },
    categories: [{ id: "system", name: "System prompt", kind: "used", tokens: 3_200 }],
    memory_files: [{ name: "CLAUDE.md", tokens: 120 }],
    mcp_tools: [{ name: "search", tokens: 300, server: "docs" }],
    agents: [{ name: "reviewer", tokens: 80 }],
    skills: [{ name: "pdf", tokens: 60 }],
  },
  models: {
    ...known,
    models: [
      {
        id: "opus",
        model: "claude-opus-4-8",
        name: "Opus",
        description: "For hard work",
        efforts: ["low", "high"],
        adaptive_thinking: true,
      },
    ],
  },
  mcp: {
    ...known,
    servers: [
      {
        name: "docs",
        status: "failed",
        error: "connection refused",
        transport: "stdio",
        scope: "project",
        server: { name: "docs-server", version: "1.0.0" },
        tools: [{ name: "search", read_only: true, destructive: false }],
      },
    ],
    truncated: false,
  },
  permissions: {
    ...known,
    rules: [{ behavior: "allow", rule: "Bash(npm test:*)", source: "userSettings", editable: true }],
    directories: [{ path: "/tmp", source: "session" }],
    managed_only: false,
    truncated: false,
  },
  commands: {
    ...known,
    commands: [{ name: "compact", description: "Makes it shorter", argument_hint: "[words]", built_in: true }],
    agents: [{ name: "reviewer", description: "Reads", model: "opus" }],
    output_style: "default",
    output_styles: ["default", "explanatory"],
    truncated: true,
  },
  files: { ...known, query: "src/", files: [{ path: "src/index.ts" }], directory: "/mnt/workspace", truncated: true },
  settings: {
    ...known,
    model: "opus",
    effort: "high",
    permission_mode: "plan",
    output_style: "default",
    permission_rules: [{ behavior: "deny", rule: "WebFetch", source: "projectSettings" }],
    truncated: false,
  },
  usage: {
    ...known,
    cost_usd: 0.25,
    api_duration_ms: 2_000,
    duration_ms: 9_000,
    lines_added: 12,
    lines_removed: 3,
    models: [
      {
        model: "claude-opus-4-8",
        input_tokens: 10,
        output_tokens: 20,
        cache_read_input_tokens: 30,
        cache_creation_input_tokens: 40,
        cost_usd: 0.25,
      },
    ],
  },
  hooks: {
    ...known,
    hooks: [
      {
        event: "PreToolUse",
        matcher: "Bash",
        type: "command",
        command: "lint",
        source: "userSettings",
        disabled: false,
        timeout_s: 1.5,
      },
    ],
    all_disabled: false,
    managed_only: false,
    truncated: false,
  },
  plan: { ...known, exists: true, text: "# Plan", path: "/home/claudeuser/.claude/plans/a.md" },
};

const usageCounts = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];

const rules: Record<ClaudeStateName, Omit<Shape, "name" | "example">> = {
  context: {
    schema: ClaudeContext,
    nullable: ["model", "auto_compact.at_tokens", "mcp_tools.0.server"],
    whole: [
      "used_tokens",
      "max_tokens",
      "auto_compact.at_tokens",
      "categories.0.tokens",
      "memory_files.0.tokens",
      "mcp_tools.0.tokens",
      "agents.0.tokens",
      "skills.0.tokens",
    ],
    choices: { "categories.0.kind": ["used", "free", "buffer", "deferred", "other"] },
  },
  models: { schema: ClaudeModels, nullable: ["models.0.model"] },
  mcp: {
    schema: ClaudeMcp,
    nullable: ["error", "transport", "scope", "server", "tools.0.read_only", "tools.0.destructive"].map(
      (name) => `servers.0.${name}`,
    ),
  },
  permissions: { schema: ClaudePermissions, choices: { "rules.0.behavior": ["allow", "ask", "deny", "other"] } },
  commands: { schema: ClaudeCommands, nullable: ["agents.0.model", "output_style"] },
  files: { schema: ClaudeFiles, nullable: ["directory"] },
  settings: {
    schema: ClaudeSettings,
    nullable: ["model", "effort", "permission_mode", "output_style"],
    choices: { "permission_rules.0.behavior": ["allow", "ask", "deny"] },
  },
  usage: {
    schema: ClaudeUsage,
    whole: [
      ...["api_duration_ms", "duration_ms", "lines_added", "lines_removed"],
      ...usageCounts.map((name) => `models.0.${name}`),
    ],
  },
  hooks: { schema: ClaudeHooks, nullable: ["hooks.0.matcher", "hooks.0.timeout_s"] },
  plan: { schema: ClaudePlan, nullable: ["text", "path"] },
};

export const claudeStateSchemas = Object.fromEntries(
  Object.entries(rules).map(([name, { schema }]) => [name, schema]),
) as Record<ClaudeStateName, z.ZodType>;

export const claudeStateShapes: readonly Shape[] = Object.entries(rules).map(([name, rule]) => ({
  name: `what Claude Code says of its ${name}`,
  example: claudeStates[name as ClaudeStateName],
  ...rule,
}));
