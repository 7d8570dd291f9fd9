import { messageBody } from "../limits.ts";
import * as resource from "../resource.ts";
import { deleted, listOf, ok } from "./answers.ts";
import { archived, choices, created, integer, order, paging, text } from "./parameters.ts";
import { define } from "./route.ts";

// Named here, so that the API's description has each of them once.
const Session = resource.Session.meta({ id: "Session" });
const SessionCreate = resource.SessionCreate.meta({ id: "SessionCreate" });
const SessionUpdate = resource.SessionUpdate.meta({ id: "SessionUpdate" });

const base = { tag: "Managed Agents", auth: "account" } as const;

export const sessionRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/sessions",
    summary: "List sessions",
    query: {
      ...paging,
      order,
      include_archived: archived,
      ...created,
      agent_id: text("Only this agent's"),
      agent_version: integer({ min: 0, max: 1_000_000_000 }, "Only this version's of their agent; 0: all"),
      statuses: choices(resource.SessionStatus.options, "Only in these states"),
    },
    ok: ok("Newest first", listOf(Session)),
    problems: ["not_supported"],
  }),
  create: define({
    ...base,
    method: "post",
    path: "/v1/sessions",
    summary: "Create a session",
    description: '`metadata["holdfast.workspace"]` chooses the workspace.',
    body: SessionCreate,
    bounds: messageBody,
    ok: ok("The session", Session),
    problems: [
      "not_supported",
      "workspace_name_invalid",
      "agent_not_found",
      "agent_archived",
      "environment_not_found",
      "environment_archived",
      "prompt_empty",
      "prompt_too_large",
    ],
  }),
  get: define({
    ...base,
    method: "get",
    path: "/v1/sessions/{id}",
    summary: "Retrieve a session",
    ok: ok("The session", Session),
    problems: ["session_not_found"],
  }),
  update: define({
    ...base,
    method: "post",
    path: "/v1/sessions/{id}",
    summary: "Update a session's title, metadata and settings",
    description:
      "`holdfast.settings` are changed at once, in the middle of a turn, too; `bypassPermissions` begins with the next message.",
    body: SessionUpdate,
    ok: ok("The session", Session),
    problems: ["session_not_found", "session_archived", "not_supported"],
  }),
  delete: define({
    ...base,
    method: "delete",
    path: "/v1/sessions/{id}",
    summary: "Delete a session with its events",
    ok: ok("What is gone", deleted("session_deleted")),
    problems: ["session_not_found"],
  }),
  archive: define({
    ...base,
    method: "post",
    path: "/v1/sessions/{id}/archive",
    summary: "Archive a session",
    ok: ok("The session", Session),
    problems: ["session_not_found"],
  }),
} as const;
