import { api } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { type Implemented, implement } from "./implement.ts";

/** The durable file trees of the account that asks. */
export function workspaceRoutes({ workspaces, closing }: AppContext): Implemented[] {
  const table = api.workspaces;
  return [
    implement(table.list, ({ account, query }) => workspaces.list(account.id, query)),
    implement(table.create, ({ account, body }) => workspaces.create(account.id, body.name)),
    implement(table.get, ({ account, params }) => workspaces.get(account.id, params.id)),
    implement(table.rename, ({ account, params, body }) => workspaces.rename(account.id, params.id, body.name)),
    // Not the client's signal: once begun it is done, whether the client waits or not.
    implement(table.delete, ({ account, params }) => workspaces.delete(account.id, params.id, closing)),
  ];
}

/** What is always allowed in a workspace. */
export function permissionRuleRoutes({ permissionRules }: AppContext): Implemented[] {
  const table = api.permissionRules;
  return [
    implement(table.list, ({ account, params, query }) => permissionRules.list(account.id, params.id, query)),
    implement(table.delete, ({ account, params }) => permissionRules.delete(account.id, params.id, params.rule_id)),
  ];
}
