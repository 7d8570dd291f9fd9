import {
  Agent,
  AgentCreate,
  AgentDefinition,
  AgentModelParams,
  AgentOverrides,
  AgentToolset,
  AgentToolsetParams,
  AgentUpdate,
  PermissionPolicy,
  SessionAgent,
} from "../../src/agent.ts";
import type { Shape } from "./shape.ts";

export const toolNames = ["bash", "edit", "read", "write", "glob", "grep", "web_fetch", "web_search"];
export const policies = ["always_allow", "always_ask"];
export const effortNames = ["low", "medium", "high", "xhigh", "max"];

const toolset: AgentToolset = {
  type: "agent_toolset_20260401",
  configs: [{ type: "bash", name: "bash", enabled: true, permission_policy: { type: "always_ask" } }],
  default_config: { enabled: false, permission_policy: { type: "always_allow" } },
};

export const definition: AgentDefinition = {
  name: "Reviewer",
  description: "Reads what others wrote",
  execution_identity: { type: "service_account" },
  model: { id: "claude-opus-4-8", speed: "standard", effort: { type: "high" } },
  multiagent: null,
  mcp_servers: [],
  skills: [],
  system: "You review.",
  tools: [toolset],
};

export const sessionAgent: SessionAgent = {
  ...definition,
  type: "agent",
  id: "agent_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  version: 3,
};

export const agent: Agent = {
  ...sessionAgent,
  metadata: { team: "core" },
  created_at: "2026-03-01T09:00:00Z",
  updated_at: "2026-03-02T09:00:00Z",
  archived_at: "2026-03-03T09:00:00Z",
};

/** Where the fields of a definition stand, in an agent or in what holds one. */
export const definitionRules = (at = "") => {
  const below = (places: string[]) => places.map((place) => `${at}${place}`);
  const tool = `${at}tools.0.configs.0`;
  return {
    nullable: below(["description", "system", "multiagent"]),
    optional: below(["model.effort"]),
    fixed: below(["execution_identity.type", "model.speed", "tools.0.type"]),
    choices: {
      [`${at}model.effort.type`]: effortNames,
      [`${tool}.type`]: toolNames,
      [`${tool}.name`]: toolNames,
      [`${tool}.permission_policy.type`]: policies,
      [`${at}tools.0.default_config.permission_policy.type`]: policies,
    },
  };
};

const rules = definitionRules();

export const toolsetParams: AgentToolsetParams = {
  type: "agent_toolset_20260401",
  configs: [{ name: "bash", type: "bash", enabled: true, permission_policy: { type: "always_ask" } }],
  default_config: { enabled: true, permission_policy: { type: "always_allow" } },
};

const toolsetRules = (at = "") => ({
  optional: [
    "configs",
    "configs.0.type",
    "configs.0.enabled",
    "configs.0.permission_policy",
    "default_config",
    "default_config.enabled",
    "default_config.permission_policy",
  ].map((place) => at + place),
  nullable: [
    "configs.0.enabled",
    "configs.0.permission_policy",
    "default_config",
    "default_config.enabled",
    "default_config.permission_policy",
  ].map((place) => at + place),
  closed: [at.slice(0, -1), `${at}configs.0`, `${at}default_config`],
  choices: {
    [`${at}configs.0.name`]: toolNames,
    [`${at}configs.0.type`]: toolNames,
    [`${at}configs.0.permission_policy.type`]: policies,
    [`${at}default_config.permission_policy.type`]: policies,
  },
});

const params = toolsetRules("tools.0.");

export const agentCreate: AgentCreate = {
  name: "Reviewer",
  model: "claude-opus-4-8",
  description: "Reads what others wrote",
  system: "You review.",
  tools: [toolsetParams],
  execution_identity: { type: "service_account" },
  metadata: { team: "core" },
};

const written = {
  ruled: ["name", "model", "description", "system", "metadata.team"],
  fixed: ["tools.0.type", "execution_identity.type"],
  closed: ["execution_identity", ...params.closed],
  records: ["metadata"],
  choices: params.choices,
};

export const agentShapes: readonly Shape[] = [
  { name: "AgentDefinition", schema: AgentDefinition, example: definition, ...rules },
  {
    name: "SessionAgent",
    schema: SessionAgent,
    example: sessionAgent,
    ...rules,
    whole: ["version"],
    fixed: [...rules.fixed, "type"],
  },
  {
    name: "Agent",
    schema: Agent,
    example: agent,
    ...rules,
    whole: ["version"],
    fixed: [...rules.fixed, "type"],
    nullable: [...rules.nullable, "archived_at"],
    records: ["metadata"],
  },
  {
    name: "AgentToolset",
    schema: AgentToolset,
    example: toolset,
    fixed: ["type"],
    choices: {
      "configs.0.type": toolNames,
      "configs.0.name": toolNames,
      "configs.0.permission_policy.type": policies,
      "default_config.permission_policy.type": policies,
    },
  },
  {
    name: "PermissionPolicy",
    schema: PermissionPolicy,
    example: { type: "always_allow" },
    choices: { type: policies },
  },
  {
    name: "AgentToolsetParams",
    schema: AgentToolsetParams,
    example: toolsetParams,
    fixed: ["type"],
    ...toolsetRules(),
  },
  {
    name: "AgentCreate",
    schema: AgentCreate,
    example: agentCreate,
    ...written,
    optional: ["description", "system", "tools", "execution_identity", "metadata", ...params.optional],
    nullable: ["description", "system", "execution_identity", ...params.nullable],
  },
  {
    name: "AgentUpdate",
    schema: AgentUpdate,
    example: { ...agentCreate, version: 2 },
    ...written,
    optional: [
      ...["name", "model", "description", "system", "tools", "execution_identity", "metadata", "version"],
      ...params.optional,
    ],
    nullable: [
      ...["description", "system", "tools", "execution_identity", "metadata", "metadata.team"],
      ...params.nullable,
    ],
    whole: ["version"],
    ruled: [...written.ruled, "version"],
  },
  {
    name: "AgentOverrides",
    schema: AgentOverrides,
    example: { model: "claude-opus-4-8", system: "You review.", tools: [toolsetParams] },
    ruled: ["model", "system"],
    optional: ["model", "system", "tools", ...params.optional],
    nullable: ["system", ...params.nullable],
    fixed: ["tools.0.type"],
    closed: params.closed,
    choices: params.choices,
  },
  {
    name: "AgentModelParams",
    schema: AgentModelParams,
    example: { id: "claude-opus-4-8", effort: { type: "high" }, speed: "standard", inference_geo: null },
    unions: [""],
    closed: ["", "effort"],
    ruled: ["id"],
    optional: ["effort", "speed", "inference_geo"],
    nullable: ["effort", "speed", "inference_geo"],
    fixed: ["speed"],
    choices: { "effort.type": effortNames },
  },
];
