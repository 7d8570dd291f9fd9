import { api } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { defaultEnvironmentId } from "../domain/environments/default.ts";
import { refuseBuiltIn } from "./built-in.ts";
import { type Implemented, implement } from "./implement.ts";

export function environmentRoutes({ environments }: AppContext): Implemented[] {
  const table = api.environments;
  return [
    implement(table.list, ({ account, query }) =>
      environments.list(account.id, { ...query, includeArchived: query.include_archived }),
    ),
    implement(table.create, ({ account, body, identity }) => environments.create(account.id, body, identity)),
    implement(table.get, ({ account, params }) => environments.get(account.id, params.id)),
    implement(table.update, ({ account, params, body }) => {
      refuseBuiltIn(params.id, defaultEnvironmentId);
      return environments.update(account.id, params.id, body);
    }),
    implement(table.delete, ({ account, params }) => {
      refuseBuiltIn(params.id, defaultEnvironmentId);
      return environments.delete(account.id, params.id);
    }),
    implement(table.archive, ({ account, params }) => {
      refuseBuiltIn(params.id, defaultEnvironmentId);
      return environments.archive(account.id, params.id);
    }),
  ];
}
