import { PermissionRule } from "../question.ts";
import { listOf } from "./answers.ts";
import { paging } from "./parameters.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast" } as const;

export const permissionRuleRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/workspaces/{id}/permission_rules",
    summary: "List what is always allowed in a workspace",
    description:
      "What was answered with `remember`. Every process of Claude Code that starts in the workspace gets them.",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first", schema: listOf(PermissionRule) },
    problems: ["workspace_not_found"],
  }),
  delete: define({
    ...base,
    method: "delete",
    path: "/v1/workspaces/{id}/permission_rules/{rule_id}",
    summary: "Delete a rule",
    description: "It is asked again from the next turn on; a turn that runs keeps the rule until its end.",
    auth: "account",
    ok: { status: 200, description: "The deleted rule", schema: PermissionRule },
    problems: ["workspace_not_found", "permission_rule_not_found"],
  }),
} as const;
