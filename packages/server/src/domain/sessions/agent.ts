import { AppError, type SessionCreate } from "@holdfast/protocol";

export const defaultAgentId = "agent_default";
export const defaultEnvironmentId = "env_default";

/** The one agent there is, in the full shape of Managed Agents. */
export const defaultAgent = {
  type: "agent",
  id: defaultAgentId,
  version: 1,
  name: "Claude Code",
  description: "Claude Code in a sandbox on a durable workspace",
  execution_identity: { type: "service_account" },
  model: { id: "claude-code-default", speed: "standard" },
  multiagent: null,
  mcp_servers: [],
  skills: [],
  system: null,
  tools: [],
} as const;

/** Refuses agents and environments that do not exist, naming the field. */
export function checkAgentAndEnvironment(input: SessionCreate): void {
  const agentId = typeof input.agent === "object" ? input.agent.id : (input.agent ?? defaultAgentId);
  if (agentId !== defaultAgentId) refuse("agent", `There is no agent "${agentId}"`, defaultAgentId);
  if (typeof input.agent === "object" && input.agent.version !== undefined && input.agent.version !== 1)
    refuse("agent.version", `Agent "${agentId}" has no version ${input.agent.version}`, "1");
  const environmentId = input.environment_id ?? defaultEnvironmentId;
  if (environmentId !== defaultEnvironmentId)
    refuse("environment_id", `There is no environment "${environmentId}"`, defaultEnvironmentId);
}

function refuse(path: string, detail: string, use: string): never {
  throw new AppError("request_invalid", { detail, errors: [{ path, message: `use "${use}", or leave it out` }] });
}
