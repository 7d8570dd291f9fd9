import { z } from "zod";

/** What Claude Code says of itself, without its model: in our words, bounded, without environments or secrets. */

export const claudeStateNames = [
  "context",
  "models",
  "mcp",
  "permissions",
  "commands",
  "files",
  "settings",
  "usage",
  "hooks",
  "plan",
] as const;
export type ClaudeStateName = (typeof claudeStateNames)[number];

const tokens = z.int().describe("In tokens, as Claude Code estimates them");
const source = z.string().describe("Where it comes from, a name of Claude Code's own");
const cut = z.boolean().describe("There are more entries than are given");

const ContextShare = z.object({
  name: z.string().describe("E.g. of a tool, an agent, a skill, or a file's path"),
  tokens,
});

const context = z.object({
  model: z.string().nullable(),
  used_tokens: tokens,
  max_tokens: tokens.describe("What the model takes, in tokens"),
  percent_used: z.number(),
  auto_compact: z.object({
    enabled: z.boolean(),
    at_tokens: tokens.nullable().describe("When the conversation is made shorter, in tokens"),
  }),
  categories: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      kind: z
        .enum(["used", "free", "buffer", "deferred", "other"])
        .describe(
          "Used and free ones add up with the buffer, which is kept free; deferred ones are not in the context",
        ),
      tokens,
    }),
  ),
  memory_files: z.array(ContextShare),
  mcp_tools: z.array(ContextShare.extend({ server: z.string().nullable() })),
  agents: z.array(ContextShare),
  skills: z.array(ContextShare),
});

const models = z.object({
  models: z.array(
    z.object({
      id: z.string().describe("What a session's `model` is set to"),
      model: z.string().nullable().describe("The full name that it stands for today"),
      name: z.string(),
      description: z.string(),
      efforts: z.array(z.string()).describe("Empty: it has none"),
      adaptive_thinking: z.boolean(),
    }),
  ),
});

const mcp = z.object({
  servers: z.array(
    z.object({
      name: z.string(),
      status: z.string().describe("connected, pending, failed, disabled, needs-auth, or a later name of Claude Code's"),
      error: z.string().nullable(),
      transport: z.string().nullable(),
      scope: z.string().nullable(),
      server: z.object({ name: z.string(), version: z.string() }).nullable().describe("What it says of itself"),
      tools: z.array(
        z.object({ name: z.string(), read_only: z.boolean().nullable(), destructive: z.boolean().nullable() }),
      ),
    }),
  ),
  truncated: cut,
});

const permissions = z.object({
  rules: z.array(
    z.object({ behavior: z.enum(["allow", "ask", "deny", "other"]), rule: z.string(), source, editable: z.boolean() }),
  ),
  directories: z.array(z.object({ path: z.string(), source })).describe("Beside the workspace"),
  managed_only: z.boolean().describe("Only rules of a managed policy are in force"),
  truncated: cut,
});

const commands = z.object({
  commands: z.array(
    z.object({ name: z.string(), description: z.string(), argument_hint: z.string(), built_in: z.boolean() }),
  ),
  agents: z.array(z.object({ name: z.string(), description: z.string(), model: z.string().nullable() })),
  output_style: z.string().nullable(),
  output_styles: z.array(z.string()),
  truncated: cut,
});

const files = z.object({
  query: z.string(),
  files: z.array(z.object({ path: z.string().describe("Relative to `directory`; a directory ends in `/`") })),
  directory: z.string().nullable(),
  truncated: cut,
});

const settings = z.object({
  model: z.string().nullable(),
  effort: z.string().nullable(),
  permission_mode: z.string().nullable(),
  output_style: z.string().nullable(),
  permission_rules: z.array(z.object({ behavior: z.enum(["allow", "ask", "deny"]), rule: z.string(), source })),
  truncated: cut,
});

const usage = z.object({
  cost_usd: z.number(),
  api_duration_ms: z.int(),
  duration_ms: z.int(),
  lines_added: z.int(),
  lines_removed: z.int(),
  models: z.array(
    z.object({
      model: z.string(),
      input_tokens: z.int(),
      output_tokens: z.int(),
      cache_read_input_tokens: z.int(),
      cache_creation_input_tokens: z.int(),
      cost_usd: z.number(),
    }),
  ),
});

const hooks = z.object({
  hooks: z.array(
    z.object({
      event: z.string(),
      matcher: z.string().nullable(),
      type: z.string(),
      command: z.string().describe("What it runs or asks, its beginning"),
      source,
      disabled: z.boolean(),
      timeout_s: z.number().nullable(),
    }),
  ),
  all_disabled: z.boolean(),
  managed_only: z.boolean(),
  truncated: cut,
});

const plan = z.object({
  exists: z.boolean(),
  text: z.string().nullable().describe("Markdown: the plan of plan mode"),
  path: z.string().nullable().describe("Where it lies in the sandbox"),
});

const known = {
  live: z.boolean().describe("A living Claude Code has just answered; false: it is the last that was known"),
  as_of: z.string().describe("RFC 3339: when Claude Code said it"),
};

export const ClaudeContext = context.extend(known).meta({ id: "ClaudeContext" });
export const ClaudeModels = models.extend(known).meta({ id: "ClaudeModels" });
export const ClaudeMcp = mcp.extend(known).meta({ id: "ClaudeMcp" });
export const ClaudePermissions = permissions.extend(known).meta({ id: "ClaudePermissions" });
export const ClaudeCommands = commands.extend(known).meta({ id: "ClaudeCommands" });
export const ClaudeFiles = files.extend(known).meta({ id: "ClaudeFiles" });
export const ClaudeSettings = settings.extend(known).meta({ id: "ClaudeSettings" });
export const ClaudeUsage = usage.extend(known).meta({ id: "ClaudeUsage" });
export const ClaudeHooks = hooks.extend(known).meta({ id: "ClaudeHooks" });
export const ClaudePlan = plan.extend(known).meta({ id: "ClaudePlan" });

export type ClaudeContext = z.infer<typeof ClaudeContext>;

/** What each name says, without when it was known. */
export interface ClaudeStates {
  context: z.infer<typeof context>;
  models: z.infer<typeof models>;
  mcp: z.infer<typeof mcp>;
  permissions: z.infer<typeof permissions>;
  commands: z.infer<typeof commands>;
  files: z.infer<typeof files>;
  settings: z.infer<typeof settings>;
  usage: z.infer<typeof usage>;
  hooks: z.infer<typeof hooks>;
  plan: z.infer<typeof plan>;
}

/** As a route answers. */
export type ClaudeState<N extends ClaudeStateName> = ClaudeStates[N] & { live: boolean; as_of: string };
