import { type DraftFrame, MultiStreamStart, type SessionEvent } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";
import { ApiError } from "./api-error.ts";
import type { CallOptions, Http } from "./http.ts";
import { readSse } from "./sse.ts";

export interface FollowOptions extends CallOptions {
  /** Ids of up to 100 sessions. */
  sessions: readonly string[];
  /** `cursor` of the last item that you have, also of another set of sessions. */
  after?: string;
  /** Seq of the last event that you have of a session, where `after` knows nothing of it. */
  from?: Readonly<Record<string, number>>;
  /** Types whose text you want while it comes: `agent.message`, `agent.thinking`. */
  drafts?: readonly ("agent.message" | "agent.thinking")[];
  /** Called when the connection was lost and before each further try. */
  onReconnect?: (error: unknown, attempt: number) => void;
}

export type Followed =
  | { type: "event"; sessionId: string; event: SessionEvent; cursor: string }
  | { type: "draft"; sessionId: string; draft: DraftFrame }
  /** Events between are not to be had any more; those after `after` follow. */
  | { type: "gap"; sessionId: string; after: number }
  /** It does not exist (any more), or is another account's. */
  | { type: "gone"; sessionId: string; message: string };

/** Longer than a server's heartbeats are apart: the connection is dead. */
const silenceMs = 60_000;

/**
 * The events of many sessions over one connection. Goes on by itself where it was when the connection breaks, the
 * server restarts or the reader was too slow: every event comes once. Ends when no session is left; throws `ApiError`
 * for what trying again does not mend, or the signal's reason.
 */
export async function* follow(http: Http, options: FollowOptions): AsyncGenerator<Followed, void, undefined> {
  const left = new Set(options.sessions);
  let cursor = options.after;
  for (let attempt = 0; left.size > 0; ) {
    try {
      for await (const item of connection(http, options, { left, cursor })) {
        attempt = 0;
        if (item.type === "start") cursor = item.cursor;
        else {
          if (item.type === "event") cursor = item.cursor;
          if (item.type === "gone" || (item.type === "event" && item.event.type === "session.deleted"))
            left.delete(item.sessionId);
          yield item;
        }
      }
      if (left.size === 0) return;
      throw new Error("the server ended the stream");
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      if (error instanceof ApiError && !error.retryable) {
        if (error.status !== 404) throw error;
        for (const sessionId of left) yield { type: "gone", sessionId, message: error.detail };
        return;
      }
      options.onReconnect?.(error, ++attempt);
      await sleep(Math.min(5_000, 100 * 2 ** Math.min(attempt, 6)) * (0.75 + Math.random() / 4), options.signal);
    }
  }
}

type Item = Followed | { type: "start"; cursor: string };

async function* connection(
  http: Http,
  { from = {}, drafts = [], signal }: FollowOptions,
  { left, cursor }: { left: ReadonlySet<string>; cursor: string | undefined },
): AsyncGenerator<Item, void, undefined> {
  const silence = new AbortController();
  const signals = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal]);
  const alarm = setTimeout(() => silence.abort(new Error("nothing came, not even a heartbeat")), silenceMs);
  try {
    const sessions = [...left].map((id) => (from[id] === undefined ? id : `${id}:${from[id]}`));
    const query = { sessions: sessions.join(","), event_deltas: drafts.join(",") || undefined, after: cursor };
    const response = await http.open("/v1/events/stream", { query, accept: "text/event-stream", signal: signals });
    for await (const { event, data, id } of readSse(response.body ?? new Blob([]).stream())) {
      alarm.refresh();
      const value = JSON.parse(data) as Record<string, unknown>;
      if (event === "error") throw new Error(`the server ended the stream: ${data}`);
      if (event === "ping") yield* pings(value, id);
      else if (event === "message") yield itemOf(value, id);
    }
  } catch (error) {
    // Its own alarm is a lost connection, not the caller's wish to stop.
    if (silence.signal.aborted) throw new Error("nothing came, not even a heartbeat", { cause: error });
    throw error;
  } finally {
    clearTimeout(alarm);
    silence.abort();
  }
}

function* pings(value: Record<string, unknown>, id: string | undefined): Generator<Item> {
  if (value.type === "holdfast.stream_error") {
    const { message } = value.error as { message: string };
    yield { type: "gone", sessionId: String(value.session_id), message };
  }
  if (value.type !== "holdfast.stream" || id === undefined) return;
  yield { type: "start", cursor: id };
  for (const [sessionId, { verdict, after }] of Object.entries(MultiStreamStart.parse(value).sessions))
    if (verdict === "gap") yield { type: "gap", sessionId, after };
}

function itemOf({ session_id, ...value }: Record<string, unknown>, id: string | undefined): Followed {
  const sessionId = String(session_id);
  // The server's promise, checked by its own tests: types that are new to this client pass through.
  if (id === undefined) return { type: "draft", sessionId, draft: value as unknown as DraftFrame };
  return { type: "event", sessionId, event: value as unknown as SessionEvent, cursor: id };
}
