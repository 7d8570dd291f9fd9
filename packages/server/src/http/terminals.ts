import { randomBytes } from "node:crypto";
import { api } from "@holdfast/protocol";
import type { Context } from "hono";
import type { AppContext } from "../context.ts";
import type { HttpEnv } from "./env.ts";
import { type Implemented, implement } from "./implement.ts";
import { carryTerminal } from "./terminal-socket.ts";
import { becomeWebSocket, checkUpgrade } from "./upgrade.ts";

/** The terminals of a workspace of the account that asks. */
export function terminalRoutes(context: AppContext): Implemented[] {
  const { terminals, closing, logger, options } = context;
  const table = api.terminals;
  const signalOf = (c: Context<HttpEnv>) => AbortSignal.any([c.req.raw.signal, closing, c.get("authEnds")]);
  return [
    implement(table.create, ({ account, params, body, c }) =>
      terminals.create({ accountId: account.id, workspaceId: params.id, signal: signalOf(c) }, body),
    ),
    implement(table.list, async ({ account, params, c }) => ({
      data: await terminals.list({ accountId: account.id, workspaceId: params.id, signal: signalOf(c) }),
    })),
    implement(table.resize, ({ account, params, body, c }) =>
      terminals.resize(
        { accountId: account.id, workspaceId: params.id, terminalId: params.terminal_id, signal: signalOf(c) },
        body,
      ),
    ),
    implement(table.end, async ({ account, params, c }) => {
      const { id: workspaceId, terminal_id: terminalId } = params;
      await terminals.end({ accountId: account.id, workspaceId, terminalId, signal: signalOf(c) });
      return { id: terminalId, deleted: true as const };
    }),
    implement(table.attach, async ({ account, params, query, c }) => {
      checkUpgrade(c);
      const signal = signalOf(c);
      const { id: workspaceId, terminal_id: terminalId } = params;
      const { offset = 0, writer = randomBytes(16).toString("hex") } = query;
      const attachment = await terminals.attach({ accountId: account.id, workspaceId, terminalId, signal }, { writer });
      return becomeWebSocket(c, (socket) =>
        carryTerminal(socket, { attachment, offset, signal, closing, heartbeatMs: options.heartbeatMs, logger }),
      );
    }),
  ];
}
