import { problems } from "@holdfast/protocol";
import { QueueOverflowError } from "@holdfast/std";
import type { Context } from "hono";
import type { AppContext } from "../context.ts";
import { isDatabaseAway } from "../ports/database.ts";
import type { HttpEnv } from "./env.ts";
import { type SseFrame, sseResponse } from "./sse.ts";

/** A stream of events, until the client leaves, its login ends or the server stops. */
export function eventStream(
  c: Context<HttpEnv>,
  context: AppContext,
  open: (signal: AbortSignal) => AsyncIterable<SseFrame>,
): Response {
  return sseResponse(open, {
    signal: AbortSignal.any([c.req.raw.signal, c.get("authEnds"), context.closing]),
    heartbeatMs: context.options.heartbeatMs,
    headers: { "request-id": c.get("requestId") },
    onError: (error) => errorFrame(error, c.get("requestId"), context),
  });
}

function errorFrame(error: unknown, requestId: string, context: AppContext): SseFrame {
  const slow = error instanceof QueueOverflowError;
  if (!slow) context.logger.error({ err: error, requestId }, "stream broke");
  const code = slow ? "consumer_too_slow" : isDatabaseAway(error) ? "database_unavailable" : "internal";
  const { anthropicType, title, remedy } = problems[code];
  return {
    event: "error",
    data: {
      type: "error",
      error: { type: anthropicType, message: `${title}. ${remedy}` },
      request_id: requestId,
      holdfast: { code, remedy },
    },
  };
}
