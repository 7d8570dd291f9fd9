import { z } from "zod";
import * as event from "../event.ts";
import { messageBody } from "../limits.ts";
import * as resource from "../resource.ts";
import { draftTypes } from "../stream.ts";
import { listOf, ok } from "./answers.ts";
import { choices, created, eventPaging, integer, list, order } from "./parameters.ts";
import { define } from "./route.ts";

// Named here, so that the API's description has each of them once.
const DraftFrame = event.DraftFrame.meta({ id: "DraftFrame" });
const SessionEvent = event.SessionEvent.meta({ id: "SessionEvent" });
const SendEvents = resource.SendEvents.meta({ id: "SendEvents" });

/** One frame of a session's stream. */
export const StreamFrame = z.union([SessionEvent, DraftFrame]);

export const eventDeltas = choices(draftTypes, "Types whose text you want while it comes");

const base = { tag: "Managed Agents", auth: "account" } as const;

const stream = <const P extends `/${string}`>(path: P) =>
  define({
    ...base,
    method: "get",
    path,
    summary: "Follow a session's events",
    description:
      "Each frame has `event: message`, `id:` (the seq) and `data:`; what is not an event of the log comes as `event: ping`. The first one is a ping that says how it begins: `verdict` is `gap` when it cannot go on from the cursor that was sent. Without a cursor it begins at the newest unanswered message or running turn, else at the last turn. A reader who is too slow is told so (`event: error`, code `consumer_too_slow`) and comes back with its cursor.",
    query: {
      after: integer({ min: 0 }, "Seq of the last event that you have; or Last-Event-ID"),
      event_deltas: eventDeltas,
    },
    ok: {
      status: 200,
      description: "Events as they come",
      schema: StreamFrame,
      type: "text/event-stream",
    },
    problems: ["session_not_found", "request_invalid"],
  });

export const eventRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/sessions/{id}/events",
    summary: "List a session's events",
    query: {
      ...eventPaging,
      order,
      types: list(z.string(), "Only these types"),
      ...created,
    },
    ok: ok("Oldest first", listOf(SessionEvent)),
    problems: ["session_not_found", "not_supported"],
  }),
  send: define({
    ...base,
    method: "post",
    path: "/v1/sessions/{id}/events",
    summary: "Send events",
    body: SendEvents,
    bounds: messageBody,
    ok: ok("What was stored", z.object({ data: z.array(SessionEvent) })),
    problems: [
      "session_not_found",
      "session_terminated",
      "session_archived",
      "prompt_empty",
      "prompt_too_large",
      "not_supported",
      "confirmation_late",
      "too_many_messages",
    ],
  }),
  stream: stream("/v1/sessions/{id}/events/stream"),
  /** The same. */
  streamShort: stream("/v1/sessions/{id}/stream"),
} as const;
