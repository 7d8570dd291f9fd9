import { AppError, api, type SessionEvent, type StreamStart } from "@holdfast/protocol";
import { isAbort } from "@holdfast/std";
import type { AppContext } from "../context.ts";
import type { EventLog, LogFrame, ReadOptions } from "../ports/event-log.ts";
import { createdIn } from "./created.ts";
import { type Call, type Implemented, implement } from "./implement.ts";
import type { SseFrame } from "./sse.ts";
import { eventStream } from "./stream-frames.ts";

/** A session's events, and its stream. */
export function eventRoutes(context: AppContext): Implemented[] {
  const { sessions } = context;
  const table = api.events;
  return [
    implement(table.list, ({ account, params, query }) =>
      sessions.events(account.id, params.id, { order: "asc", ...query, created: createdIn(query) }),
    ),
    implement(table.send, ({ account, params, body, identity, c }) =>
      sessions.send({ accountId: account.id, sessionId: params.id, by: c.get("actor") }, body, identity),
    ),
    implement(table.stream, (call) => stream(call, context)),
    implement(table.streamShort, (call) => stream(call, context)),
  ];
}

async function stream(
  { account, params: { id: sessionId }, query, c }: Call<typeof api.events.stream | typeof api.events.streamShort>,
  context: AppContext,
): Promise<Response> {
  const cursor = readCursor(c.req.header("last-event-id")) ?? query.after;
  const point = await context.sessions.streamPoint(account.id, sessionId, cursor);
  const start: StreamStart = { type: "holdfast.stream", ...point };
  const options = { sessionId, after: point.after, drafts: new Set<string>(query.event_deltas) };
  return eventStream(c, context, (signal) =>
    frames(context.log, { ...options, signal }, { event: "ping", data: start }),
  );
}

/** Of the header; an empty one says nothing. */
function readCursor(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    throw new AppError("request_invalid", {
      detail: "Last-Event-ID must be the seq of an event",
      errors: [{ path: "Last-Event-ID", message: "must be a whole number" }],
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
