import { z } from "zod";
import type { Route } from "./routes.ts";
import { DraftFrame, SessionEvent } from "./routes-managed-agents.ts";
import { maxStreamSessions } from "./stream.ts";

const description = `One connection for a whole tab. \`data:\` of each frame is the event or the draft with its \`session_id\`; \`id:\` holds the place in every session and is opaque (at most 4 KB). The first frame is a ping with a verdict per session. A session that does not exist, or is another account's, is named by a ping of type \`holdfast.stream_error\`; the others go on, and only when none exists the answer is 404. A deleted session says \`session.deleted\`; the stream ends with the last of them. No session keeps another waiting.`;

export const streamRoutes: Route[] = [
  {
    method: "get",
    path: "/v1/events/stream",
    tag: "Holdfast",
    summary: "Follow many sessions' events",
    description,
    auth: "account",
    query: {
      sessions: {
        schema: z.array(z.string()).min(1).max(maxStreamSessions),
        description: `Ids, up to ${maxStreamSessions}. \`ID:SEQ\` says from which event on; it counts for a session of which the cursor knows nothing`,
      },
      after: {
        schema: z.string().max(4096),
        description: "`id:` of the last frame that you have, also from a stream of other sessions; or Last-Event-ID",
      },
      event_deltas: { schema: z.array(z.string()), description: "Types whose text you want while it comes" },
      deltas_of: {
        schema: z.array(z.string()),
        description: "Only these sessions' text while it comes; default: all",
      },
    },
    ok: {
      status: 200,
      description: "Events as they come",
      schema: z.intersection(z.union([SessionEvent, DraftFrame]), z.object({ session_id: z.string() })),
      type: "text/event-stream",
    },
    problems: ["session_not_found"],
  },
];
