import type { Agent, AgentChoice, SessionAgent } from "@holdfast/protocol";
import { AppError } from "@holdfast/protocol";
import type { Tx } from "../../ports/database.ts";
import { sessionAgent } from "../agents/agents.ts";
import { changeAgent } from "../agents/definition.ts";

export const defaultAgentId = "agent_default";
export const defaultEnvironmentId = "env_default";

/** The built-in agent, in the full shape of Managed Agents: all tools of the CLI, its own model. */
export const defaultAgent: SessionAgent = {
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
};

const epoch = new Date(0).toISOString();

export const defaultAgentResource: Agent = {
  ...defaultAgent,
  metadata: {},
  created_at: epoch,
  updated_at: epoch,
  archived_at: null,
};

/**
 * The agent that a new session has from now on; null: the built-in one. Throws `agent_not_found`, `agent_archived`, and
 * `request_invalid` for what the built-in one cannot be asked.
 */
export async function chooseAgent(
  tx: Tx,
  accountId: string,
  choice: AgentChoice | undefined,
): Promise<SessionAgent | null> {
  const { id, version, ...rest } = typeof choice === "object" ? choice : { id: choice ?? defaultAgentId };
  if (id !== defaultAgentId) {
    const agent = await sessionAgent(tx, { accountId, agentId: id, ...(version === undefined ? {} : { version }) });
    if (!("type" in rest) || rest.type === "agent") return agent;
    return { ...agent, ...changeAgent(agent, rest) };
  }
  if (version !== undefined && version !== 1) refuse("agent.version", "the built-in agent has version 1 only");
  if ("type" in rest && rest.type === "agent_with_overrides") {
    refuse("agent.type", "the built-in agent takes no overrides; create an agent of your own");
  }
  return null;
}

function refuse(path: string, message: string): never {
  throw new AppError("request_invalid", { detail: `${path}: ${message}`, errors: [{ path, message }] });
}
