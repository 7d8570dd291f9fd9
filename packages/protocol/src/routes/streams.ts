import { z } from "zod";
import { maxStreamSessions } from "../stream.ts";
import { eventDeltas, StreamFrame } from "./events.ts";
import { list, text } from "./parameters.ts";
import { define } from "./route.ts";

const description = `One connection for a whole tab. \`data:\` of each frame is the event or the draft with its \`session_id\`; \`id:\` holds the place in every session and is opaque (at most 4 KB). The first frame is a ping with a verdict per session. A session that does not exist, or is another account's, is named by a ping of type \`holdfast.stream_error\`; the others go on, and only when none exists the answer is 404. A deleted session says \`session.deleted\`; the stream ends with the last of them. No session keeps another waiting.`;

const base = { tag: "Holdfast" } as const;

export const streamRoutes = {
  follow: define({
    ...base,
    method: "get",
    path: "/v1/events/stream",
    summary: "Follow many sessions' events",
    description,
    auth: "account",
    query: {
      sessions: {
        form: "list",
        schema: z
          .array(z.string())
          .min(1, { error: "must name at least one session" })
          .max(maxStreamSessions, {
            error: ({ input }) =>
              `one stream follows up to ${maxStreamSessions} sessions, and this names ${(input as unknown[]).length}`,
          }),
        description: `Ids, up to ${maxStreamSessions}. \`ID:SEQ\` says from which event on; it counts for a session of which the cursor knows nothing`,
      },
      after: text(
        "`id:` of the last frame that you have, also from a stream of other sessions; or Last-Event-ID",
        z.string().max(4096),
      ),
      event_deltas: eventDeltas,
      deltas_of: list(z.string(), "Only these sessions' text while it comes; default: all"),
    },
    ok: {
      status: 200,
      description: "Events as they come",
      schema: z.intersection(StreamFrame, z.object({ session_id: z.string() })),
      type: "text/event-stream",
    },
    problems: ["session_not_found"],
  }),
} as const;
