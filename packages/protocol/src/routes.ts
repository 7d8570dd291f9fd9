import type { JsonBounds } from "@holdfast/std";
import { z } from "zod";
import {
  Account,
  AccountCreate,
  AccountCreated,
  AccountDeleted,
  ApiKey,
  ApiKeyCreate,
  ApiKeyCreated,
  Credential,
  LoggedIn,
  Login,
  Logout,
} from "./account.ts";
import { commandBody, smallBody } from "./limits.ts";
import type { ProblemCode } from "./problem.ts";
import { PermissionRule } from "./question.ts";
import { Status } from "./resource.ts";
import { list, managedAgentsRoutes, paging } from "./routes-managed-agents.ts";
import { messageRoutes } from "./routes-messages.ts";
import { rawRoutes } from "./routes-raw.ts";
import { streamRoutes } from "./routes-streams.ts";
import { Sandbox, SandboxExec, SandboxExecFrame, Sweep } from "./sandbox.ts";
import { Workspace, WorkspaceDeleted, WorkspaceWrite } from "./workspace.ts";

export interface Route {
  method: "get" | "post" | "put" | "delete";
  /** Parameters stand in braces: `{id}`. */
  path: string;
  tag: "Managed Agents" | "Holdfast" | "System";
  summary: string;
  description?: string;
  /** `none`: anybody who reaches the port. `admin`: keys and logins of the account `default`. */
  auth: "none" | "account" | "admin";
  /** Every parameter that means something; others are refused. `name[…]` is one of its own. */
  query?: Record<string, { schema: z.ZodType; description: string }>;
  body?: z.ZodType;
  /** How much of a body is read at all; `smallBody` unless given. */
  bounds?: JsonBounds;
  ok: {
    status: number;
    description: string;
    schema?: z.ZodType;
    /** Default: application/json. Of a `text/event-stream` the schema is that of one frame's `data`. */
    type?: "text/event-stream" | "text/html" | "application/x-ndjson";
  };
  /** Beside those that every route, every authenticated one, and every one with a body has. */
  problems?: ProblemCode[];
}

const ourRoutes: Route[] = [
  {
    method: "get",
    path: "/v1/accounts",
    tag: "Holdfast",
    summary: "List accounts",
    description: "The administrator sees all of them; every other account sees itself.",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first", schema: list(Account) },
  },
  {
    method: "post",
    path: "/v1/accounts",
    tag: "Holdfast",
    summary: "Create an account with a first API key",
    auth: "admin",
    body: AccountCreate,
    ok: { status: 201, description: "The key is shown only here", schema: AccountCreated },
    problems: ["account_name_invalid", "account_exists"],
  },
  {
    method: "delete",
    path: "/v1/accounts/{id}",
    tag: "Holdfast",
    summary: "Delete an account with everything in it",
    description:
      "Its keys and logins count no more at once, its streams and running turns end; then its sessions, workspaces, sandboxes, agents and environments are removed, and the account itself last. Safe to repeat: what did not answer is tried again, also by itself, and an account that is gone is answered 404. Copies in S3 stay in the bucket.",
    auth: "admin",
    ok: { status: 200, description: "What is gone, what is still to go and what stays", schema: AccountDeleted },
    problems: ["account_not_found", "account_is_default"],
  },
  {
    method: "get",
    path: "/v1/api_keys",
    tag: "Holdfast",
    summary: "List the account's API keys",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first, revoked ones included", schema: list(ApiKey) },
  },
  {
    method: "post",
    path: "/v1/api_keys",
    tag: "Holdfast",
    summary: "Create an API key",
    auth: "account",
    body: ApiKeyCreate,
    ok: { status: 201, description: "The key is shown only here", schema: ApiKeyCreated },
  },
  {
    method: "delete",
    path: "/v1/api_keys/{id}",
    tag: "Holdfast",
    summary: "Revoke an API key",
    description: "At once: requests with it are refused, its logins count no more, streams that it opened end.",
    auth: "account",
    ok: { status: 200, description: "The revoked key", schema: ApiKey },
    problems: ["api_key_not_found"],
  },
  {
    method: "get",
    path: "/v1/workspaces",
    tag: "Holdfast",
    summary: "List workspaces",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first", schema: list(Workspace) },
  },
  {
    method: "post",
    path: "/v1/workspaces",
    tag: "Holdfast",
    summary: "Create a workspace",
    description: 'Sessions choose it by `metadata["holdfast.workspace"]`, which also creates one that does not exist.',
    auth: "account",
    body: WorkspaceWrite,
    ok: { status: 201, description: "The workspace", schema: Workspace },
    problems: ["workspace_exists"],
  },
  {
    method: "get",
    path: "/v1/workspaces/{id}",
    tag: "Holdfast",
    summary: "Retrieve a workspace",
    auth: "account",
    ok: { status: 200, description: "The workspace", schema: Workspace },
    problems: ["workspace_not_found"],
  },
  {
    method: "post",
    path: "/v1/workspaces/{id}",
    tag: "Holdfast",
    summary: "Rename a workspace",
    auth: "account",
    body: WorkspaceWrite,
    ok: { status: 200, description: "The workspace", schema: Workspace },
    problems: ["workspace_not_found", "workspace_exists", "workspace_is_default"],
  },
  {
    method: "delete",
    path: "/v1/workspaces/{id}",
    tag: "Holdfast",
    summary: "Delete a workspace with all of its files",
    description:
      "Ends its sandbox and its sessions and deletes its volumes: every file, and what Claude Code remembered. The events of its sessions stay readable; copies in S3 stay in the bucket.",
    auth: "account",
    ok: { status: 200, description: "What is gone and what stays", schema: WorkspaceDeleted },
    problems: ["workspace_not_found", "workspace_busy", "workspace_is_default"],
  },
  {
    method: "get",
    path: "/v1/workspaces/{id}/permission_rules",
    tag: "Holdfast",
    summary: "List what is always allowed in a workspace",
    description:
      "What was answered with `remember`. Every process of Claude Code that starts in the workspace gets them.",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first", schema: list(PermissionRule) },
    problems: ["workspace_not_found"],
  },
  {
    method: "delete",
    path: "/v1/workspaces/{id}/permission_rules/{rule_id}",
    tag: "Holdfast",
    summary: "Delete a rule",
    description: "It is asked again from the next turn on; a turn that runs keeps the rule until its end.",
    auth: "account",
    ok: { status: 200, description: "The deleted rule", schema: PermissionRule },
    problems: ["workspace_not_found", "permission_rule_not_found"],
  },
  {
    method: "get",
    path: "/v1/sandboxes",
    tag: "Holdfast",
    summary: "List running sandboxes",
    description:
      "The administrator also sees, at the end, those that carry this installation's tag and belong to no workspace here.",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first", schema: list(Sandbox) },
  },
  {
    method: "get",
    path: "/v1/sandboxes/{id}",
    tag: "Holdfast",
    summary: "Retrieve a sandbox",
    description: "By its id or the provider's.",
    auth: "account",
    ok: { status: 200, description: "The sandbox", schema: Sandbox },
    problems: ["sandbox_not_found"],
  },
  {
    method: "post",
    path: "/v1/sandboxes/{id}/stop",
    tag: "Holdfast",
    summary: "End a sandbox",
    description:
      "A turn that runs in it ends as interrupted. The workspace stays; the next message starts a new one. The administrator may end an unknown one, too: its volumes stay, nothing is saved to S3.",
    auth: "account",
    ok: { status: 200, description: "The sandbox", schema: Sandbox },
    problems: ["sandbox_not_found", "sandbox_unavailable"],
  },
  {
    method: "post",
    path: "/v1/sandboxes/{id}/exec",
    tag: "Holdfast",
    summary: "Run a command in a sandbox",
    description:
      "In `/mnt/workspace`, without standard input. A client that closes the connection kills the command. A stream that breaks ends with `event: error`.",
    auth: "account",
    body: SandboxExec,
    bounds: commandBody,
    ok: {
      status: 200,
      description: "Output as it comes, as `event: message` frames; `exit` is the last",
      schema: SandboxExecFrame,
      type: "text/event-stream",
    },
    problems: ["sandbox_not_found", "sandbox_ended", "sandbox_unavailable", "exec_time_over"],
  },
  {
    method: "get",
    path: "/v1/sweep",
    tag: "Holdfast",
    summary: "What the last sweep found",
    description: "Once a minute the sandboxes that run are compared with those that are known.",
    auth: "admin",
    ok: { status: 200, description: "`last` is null before the first", schema: z.object({ last: Sweep.nullable() }) },
  },
  {
    method: "get",
    path: "/v1/status",
    tag: "Holdfast",
    summary: "Who am I, and who answers",
    auth: "account",
    ok: { status: 200, description: "Account, model, storage and image", schema: Status },
    problems: ["gateway_unavailable"],
  },
  {
    method: "put",
    path: "/v1/credential",
    tag: "Holdfast",
    summary: "Store the Anthropic API key",
    description: "It goes to the gateway and never to a sandbox.",
    auth: "admin",
    body: Credential,
    ok: { status: 200, description: "The new status", schema: Status },
    problems: ["credential_invalid", "gateway_unavailable"],
  },
  {
    method: "delete",
    path: "/v1/credential",
    tag: "Holdfast",
    summary: "Forget the Anthropic API key",
    auth: "admin",
    ok: { status: 200, description: "The new status", schema: Status },
    problems: ["gateway_unavailable"],
  },
  {
    method: "post",
    path: "/v1/login",
    tag: "Holdfast",
    summary: "Log a browser in",
    description:
      "Sets the cookie `holdfast_login_PORT` (the port that was asked for; HttpOnly, SameSite=Strict) for thirty days. A link's token is taken once.",
    auth: "none",
    body: Login,
    ok: { status: 200, description: "The account", schema: LoggedIn },
    problems: ["key_wrong", "login_link_used"],
  },
  {
    method: "post",
    path: "/v1/logout",
    tag: "Holdfast",
    summary: "Log a browser out",
    description: "Its cookie is worth nothing from now on, and streams that it opened end. A key has no login to end.",
    auth: "account",
    body: Logout,
    ok: { status: 204, description: "Logged out; also when it was before" },
  },
];

const Health = z.object({
  status: z.literal("ok"),
  unhandled_rejections: z
    .record(z.string(), z.int().min(0))
    .describe("By process: promises that failed and were nobody's to handle. Any number but 0 is a fault of ours"),
});

const systemRoutes: Route[] = [
  {
    method: "get",
    path: "/login",
    tag: "System",
    summary: "A login link, which works once",
    auth: "none",
    query: {
      token: { schema: z.string(), description: "Without it: the page" },
      problem: { schema: z.string(), description: "Of the page: why a link did not work" },
    },
    ok: { status: 302, description: "Logged in; on to the page" },
    problems: ["key_wrong", "login_link_used"],
  },
  {
    method: "get",
    path: "/health",
    tag: "System",
    summary: "The process lives",
    auth: "none",
    ok: { status: 200, description: "Always", schema: Health },
  },
  {
    method: "get",
    path: "/ready",
    tag: "System",
    summary: "Database, engine and gateway answer",
    auth: "none",
    ok: { status: 200, description: "All of them", schema: z.object({ status: z.literal("ready") }) },
    problems: ["not_ready"],
  },
  {
    method: "get",
    path: "/version",
    tag: "System",
    summary: "Which version this is",
    auth: "none",
    ok: { status: 200, description: "The version", schema: z.object({ version: z.string() }) },
  },
  {
    method: "get",
    path: "/openapi.json",
    tag: "System",
    summary: "This description",
    auth: "none",
    ok: { status: 200, description: "OpenAPI 3.1", schema: z.record(z.string(), z.unknown()) },
  },
  {
    method: "get",
    path: "/docs",
    tag: "System",
    summary: "The routes, to be read",
    auth: "none",
    ok: { status: 200, description: "A page", type: "text/html" },
  },
  {
    method: "get",
    path: "/docs/problems",
    tag: "System",
    summary: "Every problem with its remedy",
    auth: "none",
    ok: { status: 200, description: "A page; `#code` is the problem", type: "text/html" },
  },
];

/** What is read of a request's body, whether the route takes one or not. */
export function boundsOf({ bounds = smallBody }: Pick<Route, "bounds">): JsonBounds {
  return bounds;
}

/** Everything that the server answers to, except the page and its files. */
export const routes: readonly Route[] = [
  ...managedAgentsRoutes,
  ...messageRoutes,
  ...streamRoutes,
  ...rawRoutes,
  ...ourRoutes,
  ...systemRoutes,
];
