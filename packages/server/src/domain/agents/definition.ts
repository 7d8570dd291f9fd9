import {
  type AgentCreate,
  type AgentDefinition,
  type AgentModelParams,
  type AgentToolset,
  type AgentToolsetParams,
  type AgentUpdate,
  AppError,
  type PermissionPolicy,
} from "@holdfast/protocol";

const allow: PermissionPolicy = { type: "always_allow" };

/** With everything that was left out filled in. */
export function defineAgent(input: AgentCreate): AgentDefinition {
  return {
    name: input.name,
    description: input.description ?? null,
    execution_identity: { type: "service_account" },
    model: resolveModel(input.model),
    multiagent: null,
    mcp_servers: [],
    skills: [],
    system: input.system || null,
    tools: resolveTools(input.tools ?? []),
  };
}

/** What was left out stays. */
export function changeAgent(
  now: AgentDefinition,
  change: Pick<AgentUpdate, "name" | "description" | "model" | "system" | "tools">,
): AgentDefinition {
  return {
    ...now,
    ...(change.name === undefined ? {} : { name: change.name }),
    ...(change.description === undefined ? {} : { description: change.description }),
    ...(change.model === undefined ? {} : { model: resolveModel(change.model) }),
    ...(change.system === undefined ? {} : { system: change.system || null }),
    ...(change.tools === undefined ? {} : { tools: resolveTools(change.tools ?? []) }),
  };
}

function resolveModel(model: AgentModelParams): AgentDefinition["model"] {
  if (typeof model === "string") return { id: model, speed: "standard" };
  const effort = typeof model.effort === "string" ? { type: model.effort } : model.effort;
  return { id: model.id, speed: "standard", ...(effort ? { effort } : {}) };
}

function resolveTools(toolsets: readonly AgentToolsetParams[]): AgentToolset[] {
  return toolsets.map((toolset, index) => {
    const base = {
      enabled: toolset.default_config?.enabled ?? true,
      permission_policy: toolset.default_config?.permission_policy ?? allow,
    };
    const configs = (toolset.configs ?? []).map(({ name, type, enabled, permission_policy: policy }, at) => {
      if (type !== undefined && type !== name) refuse(`tools.${index}.configs.${at}.type`, `must be "${name}"`);
      return {
        type: name,
        name,
        enabled: enabled ?? base.enabled,
        permission_policy: policy ?? base.permission_policy,
      };
    });
    const twice = configs.findIndex(({ name }, at) => configs.findIndex((other) => other.name === name) !== at);
    if (twice !== -1) refuse(`tools.${index}.configs.${twice}.name`, "is configured twice");
    return { type: "agent_toolset_20260401", configs, default_config: base };
  });
}

function refuse(path: string, message: string): never {
  throw new AppError("request_invalid", { detail: `${path}: ${message}`, errors: [{ path, message }] });
}
