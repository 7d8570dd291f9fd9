import { z } from "zod";
import * as agent from "./agent.ts";
import * as environment from "./environment.ts";
import * as event from "./event.ts";
import { definitionBody, messageBody } from "./limits.ts";
import * as resource from "./resource.ts";
import type { Route } from "./routes.ts";

// Named here, so that the API's description has each of them once.
const Agent = agent.Agent.meta({ id: "Agent" });
const AgentCreate = agent.AgentCreate.meta({ id: "AgentCreate" });
const AgentUpdate = agent.AgentUpdate.meta({ id: "AgentUpdate" });
const Environment = environment.Environment.meta({ id: "Environment" });
const EnvironmentCreate = environment.EnvironmentCreate.meta({ id: "EnvironmentCreate" });
const EnvironmentUpdate = environment.EnvironmentUpdate.meta({ id: "EnvironmentUpdate" });
export const DraftFrame = event.DraftFrame.meta({ id: "DraftFrame" });
export const SessionEvent = event.SessionEvent.meta({ id: "SessionEvent" });
const SendEvents = resource.SendEvents.meta({ id: "SendEvents" });
const Session = resource.Session.meta({ id: "Session" });
const SessionCreate = resource.SessionCreate.meta({ id: "SessionCreate" });
const SessionUpdate = resource.SessionUpdate.meta({ id: "SessionUpdate" });

const limit = (max: number, fallback: number) => ({
  schema: z.number().int().min(1).max(max).default(fallback),
  description: "How many at the most",
});
const page = { schema: z.string(), description: "`next_page` of the page before" };
const order = { schema: z.enum(["asc", "desc"]), description: "By time" };
const time = (words: string) => ({ schema: z.string(), description: `Made ${words} this moment, RFC 3339` });
const from = { "created_at[gte]": time("at or after") };
const to = { "created_at[lte]": time("at or before") };
const created = { ...from, ...to, "created_at[gt]": time("after"), "created_at[lt]": time("before") };
const archived = { schema: z.boolean().default(false), description: "Archived ones, too" };

/** `?limit=` and `?page=` of our own lists. */
export const paging = { limit: limit(100, 20), page };

/** A page of a list. */
export const list = (item: z.ZodType) => z.object({ data: z.array(item), next_page: z.string().nullable() });

const base = { tag: "Managed Agents", auth: "account" } as const;
const deleted = (type: string) => z.object({ id: z.string(), type: z.literal(type) });
const one = (description: string, schema: z.ZodType) => ({ status: 200, description, schema });

const agents: Route[] = [
  {
    ...base,
    method: "get",
    path: "/v1/agents",
    summary: "List agents",
    query: { ...paging, include_archived: archived, ...created },
    ok: one("Newest first", list(Agent)),
  },
  {
    ...base,
    method: "post",
    path: "/v1/agents",
    summary: "Create an agent",
    body: AgentCreate,
    bounds: definitionBody,
    ok: one("The agent, version 1", Agent),
    problems: ["not_supported"],
  },
  {
    ...base,
    method: "get",
    path: "/v1/agents/{id}",
    summary: "Retrieve an agent",
    query: { version: { schema: z.number().int().min(1), description: "Default: the newest" } },
    ok: one("The agent", Agent),
    problems: ["agent_not_found"],
  },
  {
    ...base,
    method: "post",
    path: "/v1/agents/{id}",
    summary: "Update an agent: a new version",
    body: AgentUpdate,
    bounds: definitionBody,
    ok: one("The agent", Agent),
    problems: ["agent_not_found", "agent_archived", "agent_version_conflict", "not_supported"],
  },
  {
    ...base,
    method: "post",
    path: "/v1/agents/{id}/archive",
    summary: "Archive an agent",
    ok: one("The agent", Agent),
    problems: ["agent_not_found"],
  },
  {
    ...base,
    method: "get",
    path: "/v1/agents/{id}/versions",
    summary: "List an agent's versions",
    query: paging,
    ok: one("Newest first", list(Agent)),
    problems: ["agent_not_found"],
  },
];

const environments: Route[] = [
  {
    ...base,
    method: "get",
    path: "/v1/environments",
    summary: "List environments",
    query: { ...paging, include_archived: archived },
    ok: one("Newest first", list(Environment)),
  },
  {
    ...base,
    method: "post",
    path: "/v1/environments",
    summary: "Create an environment",
    body: EnvironmentCreate,
    bounds: definitionBody,
    ok: one("The environment", Environment),
    problems: ["not_supported"],
  },
  {
    ...base,
    method: "get",
    path: "/v1/environments/{id}",
    summary: "Retrieve an environment",
    ok: one("The environment", Environment),
    problems: ["environment_not_found"],
  },
  {
    ...base,
    method: "post",
    path: "/v1/environments/{id}",
    summary: "Update an environment",
    body: EnvironmentUpdate,
    bounds: definitionBody,
    ok: one("The environment", Environment),
    problems: ["environment_not_found", "environment_archived", "not_supported"],
  },
  {
    ...base,
    method: "delete",
    path: "/v1/environments/{id}",
    summary: "Delete an environment",
    ok: one("What is gone", deleted("environment_deleted")),
    problems: ["environment_not_found", "environment_in_use"],
  },
  {
    ...base,
    method: "post",
    path: "/v1/environments/{id}/archive",
    summary: "Archive an environment",
    ok: one("The environment", Environment),
    problems: ["environment_not_found"],
  },
];

const sessions: Route[] = [
  {
    ...base,
    method: "get",
    path: "/v1/sessions",
    summary: "List sessions",
    query: {
      limit: limit(100, 20),
      page,
      order,
      include_archived: archived,
      ...created,
      agent_id: { schema: z.string(), description: "Only this agent's" },
      agent_version: { schema: z.number().int().min(0), description: "Only this version's of their agent; 0: all" },
      statuses: { schema: z.array(resource.SessionStatus), description: "Only in these states" },
    },
    ok: one("Newest first", list(Session)),
    problems: ["not_supported"],
  },
  {
    ...base,
    method: "post",
    path: "/v1/sessions",
    summary: "Create a session",
    description: '`metadata["holdfast.workspace"]` chooses the workspace.',
    body: SessionCreate,
    bounds: messageBody,
    ok: one("The session", Session),
    problems: ["not_supported", "workspace_name_invalid"],
  },
  {
    ...base,
    method: "get",
    path: "/v1/sessions/{id}",
    summary: "Retrieve a session",
    ok: one("The session", Session),
    problems: ["session_not_found"],
  },
  {
    ...base,
    method: "post",
    path: "/v1/sessions/{id}",
    summary: "Update a session's title and metadata",
    body: SessionUpdate,
    ok: one("The session", Session),
    problems: ["session_not_found", "not_supported"],
  },
  {
    ...base,
    method: "delete",
    path: "/v1/sessions/{id}",
    summary: "Delete a session with its events",
    ok: one("What is gone", deleted("session_deleted")),
    problems: ["session_not_found"],
  },
  {
    ...base,
    method: "post",
    path: "/v1/sessions/{id}/archive",
    summary: "Archive a session",
    ok: one("The session", Session),
    problems: ["session_not_found"],
  },
];

const stream = (path: string): Route => ({
  ...base,
  method: "get",
  path,
  summary: "Follow a session's events",
  description:
    "Each frame has `event: message`, `id:` (the seq) and `data:`; what is not an event of the log comes as `event: ping`. The first one is a ping that says how it begins: `verdict` is `gap` when it cannot go on from the cursor that was sent. Without a cursor it begins at the newest unanswered message or running turn, else at the last turn. A reader who is too slow is told so (`event: error`, code `consumer_too_slow`) and comes back with its cursor.",
  query: {
    after: { schema: z.number().int().min(0), description: "Seq of the last event that you have; or Last-Event-ID" },
    event_deltas: { schema: z.array(z.string()), description: "Types whose text you want while it comes" },
  },
  ok: {
    status: 200,
    description: "Events as they come",
    schema: z.union([SessionEvent, DraftFrame]),
    type: "text/event-stream",
  },
  problems: ["session_not_found", "request_invalid"],
});

const events: Route[] = [
  {
    ...base,
    method: "get",
    path: "/v1/sessions/{id}/events",
    summary: "List a session's events",
    query: {
      limit: limit(1000, 100),
      page,
      order,
      types: { schema: z.array(z.string()), description: "Only these types" },
      ...created,
    },
    ok: one("Oldest first", list(SessionEvent)),
    problems: ["session_not_found", "not_supported"],
  },
  {
    ...base,
    method: "post",
    path: "/v1/sessions/{id}/events",
    summary: "Send events",
    body: SendEvents,
    bounds: messageBody,
    ok: one("What was stored", z.object({ data: z.array(SessionEvent) })),
    problems: [
      "session_not_found",
      "session_terminated",
      "session_archived",
      "prompt_empty",
      "prompt_too_large",
      "not_supported",
      "confirmation_late",
      "too_many_messages",
    ],
  },
  stream("/v1/sessions/{id}/events/stream"),
  stream("/v1/sessions/{id}/stream"),
];

export const managedAgentsRoutes: Route[] = [...agents, ...environments, ...sessions, ...events];
