import { api } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { type Implemented, implement } from "./implement.ts";

/** What waits in a session. */
export function messageRoutes({ messages }: AppContext): Implemented[] {
  const table = api.messages;
  const target = (accountId: string, { id, message_id }: { id: string; message_id: string }) => ({
    accountId,
    sessionId: id,
    messageId: message_id,
  });
  return [
    implement(table.list, ({ account, params }) => messages.list(account.id, params.id)),
    implement(table.update, ({ account, params, body }) => messages.update(target(account.id, params), body)),
    implement(table.delete, ({ account, params }) => messages.remove(target(account.id, params))),
  ];
}
