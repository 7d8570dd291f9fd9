import { z } from "zod";
import { messageBody } from "../limits.ts";
import { Message, MessageRemoved, MessageUpdate } from "../message.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast", auth: "account" } as const;

/** The queue of a session. */
export const messageRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/sessions/{id}/messages",
    summary: "List the messages that wait or are being worked on",
    ok: { status: 200, description: "Oldest first, all of them", schema: z.object({ data: z.array(Message) }) },
    problems: ["session_not_found"],
  }),
  update: define({
    ...base,
    method: "post",
    path: "/v1/sessions/{id}/messages/{message_id}",
    summary: "Change a message that waits",
    description:
      'Its words, or when it runs: `delivery: "now"` stops the turn that runs, and this message is next. Whoever comes after Claude has taken it is refused.',
    body: MessageUpdate,
    bounds: messageBody,
    ok: { status: 200, description: "The message", schema: Message },
    problems: [
      "session_not_found",
      "session_archived",
      "message_not_found",
      "message_taken",
      "prompt_empty",
      "prompt_too_large",
    ],
  }),
  delete: define({
    ...base,
    method: "delete",
    path: "/v1/sessions/{id}/messages/{message_id}",
    summary: "Remove a message that waits",
    ok: { status: 200, description: "It will not run", schema: MessageRemoved },
    problems: ["session_not_found", "message_not_found", "message_taken"],
  }),
} as const;
