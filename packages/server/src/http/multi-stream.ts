import {
  AppError,
  api,
  isAppError,
  type MultiStreamStart,
  problems,
  type QueryOf,
  type StreamSessionError,
  type StreamVerdict,
} from "@holdfast/protocol";
import { ByteBudget, isAbort } from "@holdfast/std";
import type { AppContext } from "../context.ts";
import type { LogFrame } from "../ports/event-log.ts";
import { type Implemented, implement } from "./implement.ts";
import type { SseFrame } from "./sse.ts";
import { decodeCursor, StreamCursor } from "./stream-cursor.ts";
import { eventStream } from "./stream-frames.ts";
import { type TurnSource, takeTurns } from "./take-turns.ts";

/** What one connection may leave unread. */
const unreadBytes = 16 * 1024 * 1024;

type Query = QueryOf<typeof api.streams.follow>;

/** Many sessions over one connection, as a browser has only six of them. */
export function multiStreamRoutes(context: AppContext): Implemented[] {
  const follow = implement(api.streams.follow, async ({ account, query, c }) => {
    const asked = readSessions(query, c.req.header("last-event-id") ?? query.after);
    const drafts = draftsBySession(query);
    const points = await streamPoints(account.id, context, asked);
    return eventStream(c, context, (signal) => frames(context, { points, drafts, signal }));
  });
  return [follow];
}

function refuse(path: string, message: string): never {
  throw new AppError("request_invalid", { detail: `${path}: ${message}`, errors: [{ path, message }] });
}

/** Id and cursor of each session. The cursor of the stream counts more than the one beside the id: it is newer. */
function readSessions(query: Query, after = ""): Map<string, number | undefined> {
  const entries = query.sessions.map((entry) => entry.split(":"));
  const cursors = after === "" ? undefined : decodeCursor(after);
  if (after && cursors === undefined) refuse("after", "must be the `id:` of a frame of this kind of stream");
  const asked = new Map<string, number | undefined>();
  for (const [id = "", seq, ...rest] of entries) {
    if (rest.length > 0 || (seq !== undefined && !/^\d{1,12}$/.test(seq)))
      refuse("sessions", "must be ids, each alone or as ID:SEQ");
    asked.set(id, cursors?.get(id) ?? (seq === undefined ? undefined : Number(seq)));
  }
  return asked;
}

function draftsBySession(query: Query): (sessionId: string) => ReadonlySet<string> {
  const types = new Set<string>(query.event_deltas);
  const only = new Set(query.deltas_of);
  const none = new Set<string>();
  return (sessionId) => (only.size === 0 || only.has(sessionId) ? types : none);
}

type Points = Map<string, StreamVerdict | AppError>;

/** Throws when there is no session to follow at all. */
async function streamPoints(
  accountId: string,
  { sessions }: AppContext,
  asked: ReadonlyMap<string, number | undefined>,
): Promise<Points> {
  const points: Points = new Map();
  for (const [sessionId, cursor] of asked) {
    try {
      points.set(sessionId, await sessions.streamPoint(accountId, sessionId, cursor));
    } catch (error) {
      if (!isAppError(error) || error.code !== "session_not_found") throw error;
      points.set(sessionId, error);
    }
  }
  if ([...points.values()].every((point) => point instanceof AppError)) {
    const detail = `None of these sessions exists: ${[...points.keys()].join(", ")}`;
    throw new AppError("session_not_found", { detail });
  }
  return points;
}

interface FramesOptions {
  points: Points;
  drafts: (sessionId: string) => ReadonlySet<string>;
  signal: AbortSignal;
}

async function* frames(context: AppContext, options: FramesOptions): AsyncGenerator<SseFrame, void, undefined> {
  const { points, signal } = options;
  const verdicts = [...points].filter((entry): entry is [string, StreamVerdict] => !(entry[1] instanceof AppError));
  const cursor = new StreamCursor();
  for (const [sessionId, { after }] of verdicts) cursor.set(sessionId, after);
  const start: MultiStreamStart = { type: "holdfast.stream", sessions: Object.fromEntries(verdicts) };
  yield { event: "ping", id: cursor.toString(), data: start };
  for (const [sessionId, point] of points) if (point instanceof AppError) yield unknownSession(sessionId);
  try {
    for await (const { key, item } of takeTurns(sourcesOf(context, verdicts, options), signal)) {
      if (item.kind === "draft") {
        // Without an id: a client keeps the one before, and misses nothing from there.
        yield { data: { ...item.draft, session_id: key } };
        continue;
      }
      cursor.set(key, item.event.seq);
      if (item.event.type === "session.deleted") cursor.delete(key);
      yield { id: cursor.toString(), data: { ...item.event, session_id: key } };
    }
  } catch (error) {
    // The reader left: nobody is there to be told.
    if (!signal.aborted && !isAbort(error, signal)) throw error;
  }
}

function sourcesOf(
  { log }: AppContext,
  verdicts: readonly [string, StreamVerdict][],
  { drafts }: FramesOptions,
): TurnSource<string, LogFrame>[] {
  const budget = new ByteBudget(unreadBytes);
  return verdicts.map(([sessionId, { after, last_seq }]) => ({
    key: sessionId,
    open: (signal) => untilDeleted(log.read({ sessionId, after, drafts: drafts(sessionId), budget, signal })),
    caughtUp: after >= last_seq ? undefined : (frame) => frame.kind === "event" && frame.event.seq >= last_seq,
  }));
}

async function* untilDeleted(source: AsyncIterable<LogFrame>): AsyncGenerator<LogFrame, void, undefined> {
  for await (const frame of source) {
    yield frame;
    if (frame.kind === "event" && frame.event.type === "session.deleted") return;
  }
}

function unknownSession(sessionId: string): SseFrame {
  const { anthropicType, title, remedy } = problems.session_not_found;
  const data: StreamSessionError = {
    type: "holdfast.stream_error",
    session_id: sessionId,
    error: { type: anthropicType, message: title },
    holdfast: { code: "session_not_found", remedy },
  };
  return { event: "ping", data };
}
