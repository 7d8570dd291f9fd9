import { AppError, api, type SandboxExec } from "@holdfast/protocol";
import { isAbort } from "@holdfast/std";
import type { Context } from "hono";
import type { AppContext } from "../context.ts";
import type { Account } from "../domain/accounts/accounts.ts";
import { SandboxGoneError } from "../domain/sandboxes/live-sandbox.ts";
import { startExec } from "../domain/sandboxes/stream-exec.ts";
import { isAdmin } from "./auth.ts";
import type { HttpEnv } from "./env.ts";
import { type Implemented, implement } from "./implement.ts";
import { type SseFrame, sseResponse } from "./sse.ts";

/** The machines of the account that asks. */
export function sandboxRoutes(context: AppContext): Implemented[] {
  const { sandboxes, closing } = context;
  const table = api.sandboxes;
  const asking = (account: Account) => ({ accountId: account.id, isAdmin: isAdmin(account, context) });
  return [
    implement(table.list, ({ account, query }) => sandboxes.list(asking(account), query)),
    implement(table.get, ({ account, params }) => sandboxes.get(asking(account), params.id)),
    implement(table.stop, ({ account, params }) =>
      sandboxes.stop(asking(account), params.id, closing).catch(unavailable),
    ),
    implement(table.exec, ({ account, params, body, c }) =>
      streamExec(c, context, { accountId: account.id, sandboxId: params.id, input: body }),
    ),
    implement(table.sweep, () => {
      const report = context.lastSweep();
      if (report === undefined) return { last: null };
      const { atMs, ...found } = report;
      return { last: { at: new Date(atMs).toISOString(), ...found } };
    }),
  ];
}

interface Asked {
  accountId: string;
  sandboxId: string;
  input: SandboxExec;
}

async function streamExec(
  c: Context<HttpEnv>,
  context: AppContext,
  { accountId, sandboxId, input }: Asked,
): Promise<Response> {
  const signal = AbortSignal.any([c.req.raw.signal, c.get("authEnds"), context.closing]);
  const live = await context.sandboxes.running(accountId, sandboxId, signal).catch(unavailable);
  const exec = await startExec(live, input, signal).catch((error) => {
    if (live.gone.aborted) throw ended(live.gone.reason);
    signal.throwIfAborted();
    return unavailable(error);
  });
  async function* frames(reader: AbortSignal): AsyncGenerator<SseFrame, void, undefined> {
    for await (const data of exec.frames(reader)) yield { data };
  }
  return sseResponse((reader) => frames(reader), {
    signal,
    heartbeatMs: context.options.heartbeatMs,
    headers: { "request-id": c.get("requestId") },
    onError: (error) => brokenStream(c, context, error),
  });
}

/** The provider's own failures, in words that the account can use. */
function unavailable(error: unknown): never {
  if (error instanceof AppError || isAbort(error)) throw error;
  if (error instanceof SandboxGoneError) throw ended(error);
  throw new AppError("sandbox_unavailable", { detail: "The engine did not answer as it should", cause: error });
}

function asProblem(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return error instanceof SandboxGoneError ? ended(error) : new AppError("sandbox_unavailable");
}

function ended(cause: unknown): AppError {
  const why = cause instanceof SandboxGoneError ? cause.why : undefined;
  return new AppError("sandbox_ended", { cause, ...(why === undefined ? {} : { detail: why }) });
}

/** A stream never just stops: its last frame says why. */
function brokenStream(c: Context<HttpEnv>, { logger }: AppContext, error: unknown): SseFrame {
  const requestId = c.get("requestId");
  const { entry, code, message: detail } = asProblem(error);
  if (code === "sandbox_unavailable") logger.error({ err: error, requestId }, "an exec's stream broke");
  const { status, title, remedy } = entry;
  return { event: "error", data: { type: `/docs/problems#${code}`, title, status, code, remedy, detail } };
}
