import type { AgentChoice, SessionAgent } from "@holdfast/protocol";
import { AppError } from "@holdfast/protocol";
import type { Tx } from "../../ports/database.ts";
import { sessionAgent } from "./agents.ts";
import { defaultAgentId } from "./default.ts";
import { changeAgent } from "./definition.ts";

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
