import { api } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { createdIn } from "./created.ts";
import { type Implemented, implement } from "./implement.ts";

export function sessionRoutes({ sessions }: AppContext): Implemented[] {
  const table = api.sessions;
  return [
    implement(table.list, ({ account, query }) => {
      const { limit, page, order = "desc", statuses, agent_id: agentId, agent_version: agentVersion } = query;
      return sessions.list(account.id, {
        limit,
        order,
        statuses,
        created: createdIn(query),
        includeArchived: query.include_archived,
        ...(page === undefined ? {} : { page }),
        ...(agentId === undefined ? {} : { agentId }),
        ...(agentVersion === undefined || agentVersion === 0 ? {} : { agentVersion }),
      });
    }),
    implement(table.create, ({ account, body, identity }) => sessions.create(account.id, body, identity)),
    implement(table.get, ({ account, params }) => sessions.get(account.id, params.id)),
    implement(table.update, ({ account, params, body }) => sessions.update(account.id, params.id, body)),
    implement(table.delete, ({ account, params }) => sessions.delete(account.id, params.id)),
    implement(table.archive, ({ account, params }) => sessions.archive(account.id, params.id)),
  ];
}
