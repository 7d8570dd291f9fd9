import { z } from "zod";
import { asMeant } from "./forms.ts";
import { Metadata, MetadataPatch } from "./metadata.ts";

/** The tools of `agent_toolset_20260401`, in its order. */
export const agentToolNames = ["bash", "edit", "read", "write", "glob", "grep", "web_fetch", "web_search"] as const;
export type AgentToolName = (typeof agentToolNames)[number];

/** `auto` (a judge beside the model decides) is not here: nobody would judge. */
export const PermissionPolicy = z.object({ type: z.enum(["always_allow", "always_ask"]) });
export type PermissionPolicy = z.infer<typeof PermissionPolicy>;

const toolChoice = {
  enabled: z.boolean().nullable().optional(),
  permission_policy: PermissionPolicy.nullable().optional(),
};

const ToolConfigParams = z.strictObject({
  name: z.enum(agentToolNames),
  type: z.enum(agentToolNames).optional(),
  ...toolChoice,
});

export const AgentToolsetParams = z.strictObject({
  type: z.literal("agent_toolset_20260401", { error: "must be agent_toolset_20260401; others are not supported" }),
  configs: z.array(ToolConfigParams).max(32).optional(),
  default_config: z.strictObject(toolChoice).nullable().optional(),
});
export type AgentToolsetParams = z.infer<typeof AgentToolsetParams>;

const efforts = ["low", "medium", "high", "xhigh", "max"] as const;
export const Effort = z.enum(efforts);

/** Becomes an argument of a command: no blanks, no leading dash. */
export const ModelId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:@/[\]-]{0,127}$/, "is not a model id");

export const AgentModelParams = z.union(
  [
    ModelId,
    z.strictObject({
      id: ModelId,
      effort: z
        .union([Effort, z.strictObject({ type: Effort })], { error: `must be one of ${efforts.join(", ")}` })
        .nullable()
        .optional(),
      speed: z.literal("standard", { error: "only standard is supported" }).nullable().optional(),
      inference_geo: z.null({ error: "is not supported" }).optional(),
    }),
  ],
  { error: asMeant("must be a model's id, or an object with it") },
);
export type AgentModelParams = z.infer<typeof AgentModelParams>;

/** Characters. */
const maxSystemLength = 100_000;

const fields = {
  name: z.string().min(1).max(256),
  description: z.string().max(2048).nullable(),
  model: AgentModelParams,
  system: z
    .string()
    .max(maxSystemLength)
    .refine((text) => !text.includes("\u0000"), "must not hold NUL")
    .refine((text) => new TextEncoder().encode(text).length < 120_000, "is longer than 120000 bytes")
    .nullable(),
  tools: z.array(AgentToolsetParams).max(1, "takes one toolset"),
  execution_identity: z
    .strictObject({ type: z.literal("service_account", { error: "only service_account is supported" }) })
    .nullable(),
};

/** What `POST /v1/agents` takes. */
export const AgentCreate = z.object({
  name: fields.name,
  model: fields.model,
  description: fields.description.optional(),
  system: fields.system.optional(),
  tools: fields.tools.optional(),
  execution_identity: fields.execution_identity.optional(),
  metadata: Metadata.optional(),
});
export type AgentCreate = z.infer<typeof AgentCreate>;

/** What `POST /v1/agents/{id}` takes: what is left out stays; null clears, where there is something to clear. */
export const AgentUpdate = z.object({
  name: fields.name.optional(),
  model: fields.model.optional(),
  description: fields.description.optional(),
  system: fields.system.optional(),
  tools: fields.tools.nullable().optional(),
  execution_identity: fields.execution_identity.optional(),
  metadata: MetadataPatch.nullable().optional(),
  /** Of the agent as the caller knows it. */
  version: z.number().int().min(1).optional(),
});
export type AgentUpdate = z.infer<typeof AgentUpdate>;

/** What a session may ask of its agent differently. */
export const AgentOverrides = z.object({
  model: fields.model.optional(),
  system: fields.system.optional(),
  tools: fields.tools.optional(),
});

const ToolConfig = z.object({
  type: z.enum(agentToolNames),
  name: z.enum(agentToolNames),
  enabled: z.boolean(),
  permission_policy: PermissionPolicy,
});

export const AgentToolset = z.object({
  type: z.literal("agent_toolset_20260401"),
  configs: z.array(ToolConfig),
  default_config: z.object({ enabled: z.boolean(), permission_policy: PermissionPolicy }),
});
export type AgentToolset = z.infer<typeof AgentToolset>;

/** The parts of an agent that a version fixes. */
export const AgentDefinition = z.object({
  name: z.string(),
  description: z.string().nullable(),
  execution_identity: z.object({ type: z.literal("service_account") }),
  model: z.object({
    id: z.string(),
    speed: z.literal("standard"),
    effort: z.object({ type: Effort }).optional(),
  }),
  multiagent: z.null(),
  mcp_servers: z.array(z.never()),
  skills: z.array(z.never()),
  system: z.string().nullable(),
  tools: z.array(AgentToolset),
});
export type AgentDefinition = z.infer<typeof AgentDefinition>;

/** An agent as a session has it: fixed when the session was made. */
export const SessionAgent = AgentDefinition.extend({
  type: z.literal("agent"),
  id: z.string(),
  version: z.number().int(),
});
export type SessionAgent = z.infer<typeof SessionAgent>;

/** An agent in Managed Agents' shape. Times are RFC 3339. */
export const Agent = SessionAgent.extend({
  metadata: z.record(z.string(), z.string()),
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
});
export type Agent = z.infer<typeof Agent>;
