import { Workspace, WorkspaceDeleted, WorkspaceWrite } from "../workspace.ts";
import { listOf } from "./answers.ts";
import { paging } from "./parameters.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast" } as const;

export const workspaceRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/workspaces",
    summary: "List workspaces",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first", schema: listOf(Workspace) },
  }),
  create: define({
    ...base,
    method: "post",
    path: "/v1/workspaces",
    summary: "Create a workspace",
    description: 'Sessions choose it by `metadata["holdfast.workspace"]`, which also creates one that does not exist.',
    auth: "account",
    body: WorkspaceWrite,
    ok: { status: 201, description: "The workspace", schema: Workspace },
    problems: ["workspace_exists"],
  }),
  get: define({
    ...base,
    method: "get",
    path: "/v1/workspaces/{id}",
    summary: "Retrieve a workspace",
    auth: "account",
    ok: { status: 200, description: "The workspace", schema: Workspace },
    problems: ["workspace_not_found"],
  }),
  rename: define({
    ...base,
    method: "post",
    path: "/v1/workspaces/{id}",
    summary: "Rename a workspace",
    auth: "account",
    body: WorkspaceWrite,
    ok: { status: 200, description: "The workspace", schema: Workspace },
    problems: ["workspace_not_found", "workspace_exists", "workspace_is_default"],
  }),
  delete: define({
    ...base,
    method: "delete",
    path: "/v1/workspaces/{id}",
    summary: "Delete a workspace with all of its files",
    description:
      "Ends its sandbox and its sessions and deletes its volumes: every file, and what Claude Code remembered. The events of its sessions stay readable; copies in S3 stay in the bucket.",
    auth: "account",
    ok: { status: 200, description: "What is gone and what stays", schema: WorkspaceDeleted },
    problems: ["workspace_not_found", "workspace_busy", "workspace_is_default"],
  }),
} as const;
