import { PermissionRule } from "../../src/question.ts";
import { Workspace, WorkspaceDeleted, WorkspaceWrite } from "../../src/workspace.ts";
import type { Shape } from "./shape.ts";

export const workspace: Workspace = {
  id: "wsp_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  name: "default",
  is_default: true,
  created_at: "2026-03-01T09:00:00Z",
};

export const workspaceDeleted: WorkspaceDeleted = {
  id: workspace.id,
  name: "old",
  deleted: true,
  gone: { sandbox: "sbx_01K3V6F7Q8ABCDEFGHJKMNPQRS", volumes: "deleted", sessions_ended: 2 },
  kept: ["the events of its sessions"],
};

export const permissionRule: PermissionRule = {
  id: "rule_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  workspace_id: workspace.id,
  rule: "Bash(npm test:*)",
  session_id: "sesn_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  created_by: "laptop",
  created_at: "2026-03-01T09:00:00Z",
};

export const workspaceShapes: readonly Shape[] = [
  { name: "Workspace", schema: Workspace, example: workspace },
  {
    name: "WorkspaceDeleted",
    schema: WorkspaceDeleted,
    example: workspaceDeleted,
    fixed: ["deleted"],
    whole: ["gone.sessions_ended"],
    nullable: ["gone.sandbox"],
    choices: { "gone.volumes": ["deleted", "pending"] },
  },
  { name: "WorkspaceWrite", schema: WorkspaceWrite, example: { name: "main" }, closed: [""], ruled: ["name"] },
  { name: "PermissionRule", schema: PermissionRule, example: permissionRule },
];
