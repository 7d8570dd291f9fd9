import { AppError, SandboxExec, type Sweep } from "@holdfast/protocol";
import { isAbort } from "@holdfast/std";
import { type Context, Hono } from "hono";
import type { AppContext } from "../context.ts";
import { SandboxGoneError } from "../domain/sandboxes/live-sandbox.ts";
import { startExec } from "../domain/sandboxes/stream-exec.ts";
import { isAdmin } from "./accounts.ts";
import { check, readJson } from "./body.ts";
import type { HttpEnv } from "./env.ts";
import { paging } from "./paging.ts";
import { type SseFrame, sseResponse } from "./sse.ts";

/** `/v1/sandboxes`: the machines of the account that asks. */
export function sandboxRoutes(context: AppContext): Hono<HttpEnv> {
  const { sandboxes } = context;
  const app = new Hono<HttpEnv>();
  const asking = (c: Context<HttpEnv>) => ({ accountId: c.get("account").id, isAdmin: isAdmin(c, context) });
  app.get("/", async (c) => c.json(await sandboxes.list(asking(c), paging(c.req.url))));
  app.get("/:id", async (c) => c.json(await sandboxes.get(asking(c), c.req.param("id"))));
  app.post("/:id/stop", async (c) => {
    await readJson(c);
    const stopping = sandboxes.stop(asking(c), c.req.param("id"), context.closing);
    return c.json(await stopping.catch(unavailable));
  });
  app.post("/:id/exec", async (c) => {
    const { value } = await readJson(c);
    const input = check(SandboxExec, value);
    const signal = AbortSignal.any([c.req.raw.signal, c.get("authEnds"), context.closing]);
    const live = await sandboxes.running(c.get("account").id, c.req.param("id"), signal).catch(unavailable);
    const exec = await startExec(live, input, signal).catch((error) => {
      if (live.gone.aborted) throw new AppError("sandbox_ended", { cause: error });
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
  });
  return app;
}

/** `/v1/sweep`: it names all accounts' sandboxes. */
export function sweepRoutes(context: AppContext): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.get("/", (c) => {
    if (!isAdmin(c, context)) throw new AppError("admin_only");
    const report = context.lastSweep();
    if (report === undefined) return c.json({ last: null });
    const { atMs, ...found } = report;
    const last: Sweep = { at: new Date(atMs).toISOString(), ...found };
    return c.json({ last });
  });
  return app;
}

/** The provider's own failures, in words that the account can use. */
function unavailable(error: unknown): never {
  if (error instanceof AppError || isAbort(error)) throw error;
  if (error instanceof SandboxGoneError) throw new AppError("sandbox_ended", { cause: error });
  throw new AppError("sandbox_unavailable", { detail: "The engine did not answer as it should", cause: error });
}

function asProblem(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError(error instanceof SandboxGoneError ? "sandbox_ended" : "sandbox_unavailable");
}

/** A stream never just stops: its last frame says why. */
function brokenStream(c: Context<HttpEnv>, { logger }: AppContext, error: unknown): SseFrame {
  const requestId = c.get("requestId");
  const { entry, code } = asProblem(error);
  if (code === "sandbox_unavailable") logger.error({ err: error, requestId }, "an exec's stream broke");
  const { status, title, remedy } = entry;
  return { event: "error", data: { type: `/docs/problems#${code}`, title, status, code, remedy, detail: title } };
}
