import type { Agent, SessionAgent } from "@holdfast/protocol";

export const defaultAgentId = "agent_default";

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
