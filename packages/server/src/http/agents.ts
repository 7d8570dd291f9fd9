import { api } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { defaultAgentId, defaultAgentResource } from "../domain/agents/default.ts";
import { refuseBuiltIn } from "./built-in.ts";
import { createdIn } from "./created.ts";
import { type Implemented, implement } from "./implement.ts";

export function agentRoutes({ agents }: AppContext): Implemented[] {
  const table = api.agents;
  return [
    implement(table.list, ({ account, query }) =>
      agents.list(account.id, { ...query, includeArchived: query.include_archived, created: createdIn(query) }),
    ),
    implement(table.create, ({ account, body, identity }) => agents.create(account.id, body, identity)),
    implement(table.get, ({ account, params, query: { version } }) => {
      if (params.id === defaultAgentId && (version ?? 1) === 1) return defaultAgentResource;
      return agents.get(account.id, params.id, version);
    }),
    implement(table.update, ({ account, params, body }) => {
      refuseBuiltIn(params.id, defaultAgentId);
      return agents.update(account.id, params.id, body);
    }),
    implement(table.archive, ({ account, params }) => {
      refuseBuiltIn(params.id, defaultAgentId);
      return agents.archive(account.id, params.id);
    }),
    implement(table.versions, ({ account, params, query }) => agents.versions(account.id, params.id, query)),
  ];
}
