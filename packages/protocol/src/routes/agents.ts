import * as agent from "../agent.ts";
import { definitionBody } from "../limits.ts";
import { listOf, ok } from "./answers.ts";
import { archived, created, integer, paging } from "./parameters.ts";
import { define } from "./route.ts";

// Named here, so that the API's description has each of them once.
const Agent = agent.Agent.meta({ id: "Agent" });
const AgentCreate = agent.AgentCreate.meta({ id: "AgentCreate" });
const AgentUpdate = agent.AgentUpdate.meta({ id: "AgentUpdate" });

const base = { tag: "Managed Agents", auth: "account" } as const;

export const agentRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/agents",
    summary: "List agents",
    query: { ...paging, include_archived: archived, ...created },
    ok: ok("Newest first", listOf(Agent)),
  }),
  create: define({
    ...base,
    method: "post",
    path: "/v1/agents",
    summary: "Create an agent",
    body: AgentCreate,
    bounds: definitionBody,
    ok: ok("The agent, version 1", Agent),
    problems: ["not_supported"],
  }),
  get: define({
    ...base,
    method: "get",
    path: "/v1/agents/{id}",
    summary: "Retrieve an agent",
    query: { version: integer({ min: 1, max: 1_000_000_000 }, "Default: the newest") },
    ok: ok("The agent", Agent),
    problems: ["agent_not_found"],
  }),
  update: define({
    ...base,
    method: "post",
    path: "/v1/agents/{id}",
    summary: "Update an agent: a new version",
    body: AgentUpdate,
    bounds: definitionBody,
    ok: ok("The agent", Agent),
    problems: ["agent_not_found", "agent_archived", "agent_version_conflict", "not_supported"],
  }),
  archive: define({
    ...base,
    method: "post",
    path: "/v1/agents/{id}/archive",
    summary: "Archive an agent",
    ok: ok("The agent", Agent),
    problems: ["agent_not_found", "not_supported"],
  }),
  versions: define({
    ...base,
    method: "get",
    path: "/v1/agents/{id}/versions",
    summary: "List an agent's versions",
    query: paging,
    ok: ok("Newest first", listOf(Agent)),
    problems: ["agent_not_found"],
  }),
} as const;
