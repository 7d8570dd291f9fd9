import { api, type ClaudeStateName } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { type Implemented, implement } from "./implement.ts";

/** What Claude Code says of itself. */
export function claudeStateRoutes({ claudeState }: AppContext): Implemented[] {
  const table = api.claudeState;
  const read = <N extends ClaudeStateName>(
    name: N,
    { account, params, query }: { account: { id: string }; params: { id: string }; query: Asked },
  ) => claudeState.read(account.id, params.id, { name, query: query.query ?? "", start: query.start });
  return [
    implement(table.context, (call) => read("context", call)),
    implement(table.models, (call) => read("models", call)),
    implement(table.mcp, (call) => read("mcp", call)),
    implement(table.permissions, (call) => read("permissions", call)),
    implement(table.commands, (call) => read("commands", call)),
    implement(table.files, (call) => read("files", call)),
    implement(table.settings, (call) => read("settings", call)),
    implement(table.usage, (call) => read("usage", call)),
    implement(table.hooks, (call) => read("hooks", call)),
    implement(table.plan, (call) => read("plan", call)),
  ];
}

interface Asked {
  start: boolean;
  query?: string;
}
