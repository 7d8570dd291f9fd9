import { api } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { isAdmin } from "./auth.ts";
import { type Implemented, implement } from "./implement.ts";

export function accountRoutes(context: AppContext): Implemented[] {
  const { accounts, accountRemoval, closing } = context;
  const table = api.accounts;
  return [
    implement(table.list, ({ account, query }) =>
      accounts.page(query, isAdmin(account, context) ? undefined : account.id),
    ),
    implement(table.create, ({ body }) => accounts.create(body.name)),
    // Not the client's signal: once begun it is done, whether the client waits or not.
    implement(table.delete, ({ params }) => accountRemoval.delete(params.id, closing)),
  ];
}

/** The keys of the account that asks. */
export function apiKeyRoutes({ keys }: AppContext): Implemented[] {
  const table = api.apiKeys;
  return [
    implement(table.list, ({ account, query }) => keys.list(account.id, query)),
    implement(table.create, ({ account, body }) => keys.create(account.id, body.name)),
    implement(table.revoke, ({ account, params }) => keys.revoke(account.id, params.id)),
  ];
}
