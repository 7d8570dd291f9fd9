import { AppError, SendEvents, type SessionEvent, type StreamStart } from "@holdfast/protocol";
import { isAbort } from "@holdfast/std";
import { type Context, Hono } from "hono";
import type { AppContext } from "../context.ts";
import type { EventLog, LogFrame, ReadOptions } from "../ports/event-log.ts";
import { check, readJson, refuseUnknown } from "./body.ts";
import type { HttpEnv } from "./env.ts";
import { integer, list, order } from "./query.ts";
import { identityOf } from "./sessions.ts";
import { createdAt, pageOf } from "./sessions-filters.ts";
import type { SseFrame } from "./sse.ts";
import { draftTypes, eventStream } from "./stream-frames.ts";

/** What may be sent, with the fields that mean something. */
const sendable = new Map([
  ["user.message", ["type", "content", "holdfast"]],
  ["user.interrupt", ["type", "session_thread_id", "holdfast"]],
  ["user.tool_confirmation", ["type", "tool_use_id", "result", "deny_message", "holdfast"]],
]);

/** `/v1/sessions/{id}/events` in Managed Agents' shape, and its stream. */
export function eventRoutes(context: AppContext): Hono<HttpEnv> {
  const { sessions } = context;
  const app = new Hono<HttpEnv>();
  app.post("/:id/events", async (c) => {
    const { hash, value } = await readJson(c);
    refuseUnknown(value, ["events"]);
    refuseUnsupported(value.events);
    const input = check(SendEvents, value);
    const target = { accountId: c.get("account").id, sessionId: c.req.param("id"), by: c.get("actor") };
    return c.json(await sessions.send(target, input, identityOf(c, hash)));
  });
  app.get("/:id/events", async (c) => {
    const query = new URL(c.req.url).searchParams;
    const options = {
      limit: integer(query, "limit", { min: 1, max: 1000, fallback: 100 }),
      order: order(query, "asc"),
      types: list(query, "types"),
      created: createdAt(query),
      ...pageOf(query),
    };
    return c.json(await sessions.events(c.get("account").id, c.req.param("id"), options));
  });
  app.get("/:id/events/stream", (c) => stream(c, context, c.req.param("id")));
  app.get("/:id/stream", (c) => stream(c, context, c.req.param("id")));
  return app;
}

function refuseUnsupported(events: unknown): void {
  if (!Array.isArray(events)) return;
  for (const [index, event] of events.entries()) {
    const type: unknown = (event as { type?: unknown } | null)?.type;
    if (typeof type !== "string") continue;
    const fields = sendable.get(type);
    if (fields !== undefined) refuseUnknown(event as Record<string, unknown>, fields, `events.${index}.`);
    else {
      throw new AppError("not_supported", {
        detail: `Events of type "${type.slice(0, 60)}" cannot be sent`,
        errors: [{ path: `events.${index}.type`, message: `must be one of ${[...sendable.keys()].join(", ")}` }],
      });
    }
  }
}

async function stream(c: Context<HttpEnv>, context: AppContext, sessionId: string): Promise<Response> {
  const query = new URL(c.req.url).searchParams;
  const cursor = readCursor(c.req.header("last-event-id") ?? query.get("after"));
  const drafts = draftTypes(query);
  const point = await context.sessions.streamPoint(c.get("account").id, sessionId, cursor);
  const start: StreamStart = { type: "holdfast.stream", ...point };
  return eventStream(c, context, (signal) =>
    frames(context.log, { sessionId, after: point.after, drafts, signal }, { event: "ping", data: start }),
  );
}

function readCursor(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined || text === "") return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    throw new AppError("request_invalid", {
      detail: "`after` (or Last-Event-ID) must be the seq of an event",
      errors: [{ path: "after", message: "must be a whole number" }],
    });
  }
  return Number(text);
}

async function* frames(
  log: EventLog,
  options: ReadOptions,
  start: SseFrame,
): AsyncGenerator<SseFrame, void, undefined> {
  yield start;
  let last = options.after;
  try {
    for await (const frame of log.read(options)) {
      if (frame.kind === "event") last = frame.event.seq;
      yield toSse(frame, last);
      if (frame.kind === "event" && frame.event.type === "session.deleted") return;
    }
  } catch (error) {
    // The reader left: nobody is there to be told.
    if (!options.signal.aborted && !isAbort(error, options.signal)) throw error;
  }
}

/** A draft carries the id of the event before it, so that a reader who resumes from it misses nothing. */
function toSse(frame: LogFrame, last: number): SseFrame {
  const data: SessionEvent | object = frame.kind === "event" ? frame.event : frame.draft;
  return { id: last, data };
}
