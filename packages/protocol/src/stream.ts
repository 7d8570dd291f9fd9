import { z } from "zod";

/** How many sessions one stream follows at the most. Their cursors fit into 4 KB. */
export const maxStreamSessions = 100;

/** Events whose text can be had while it comes. */
export const draftTypes = ["agent.message", "agent.thinking"] as const;

/** How a session's stream begins. */
export const StreamVerdict = z.object({
  /** `gap`: it cannot go on from the cursor that was sent; read the list of events anew. */
  verdict: z.enum(["ok", "gap"]),
  /** It goes on right behind the cursor that was sent. False, too, when none was sent. */
  resumed: z.boolean(),
  /** The first event that comes has the next `seq`. */
  after: z.number().int(),
  /** Seq of the newest event now. */
  last_seq: z.number().int(),
});
export type StreamVerdict = z.infer<typeof StreamVerdict>;

/** `data` of the first frame of a session's stream (`event: ping`). */
export const StreamStart = StreamVerdict.extend({ type: z.literal("holdfast.stream") });
export type StreamStart = z.infer<typeof StreamStart>;

/** `data` of the first frame of a stream of many sessions (`event: ping`). Sessions that do not exist are not in it. */
export const MultiStreamStart = z.object({
  type: z.literal("holdfast.stream"),
  sessions: z.record(z.string(), StreamVerdict),
});
export type MultiStreamStart = z.infer<typeof MultiStreamStart>;

/** One of the sessions cannot be followed (`event: ping`); the others go on. */
export const StreamSessionError = z.object({
  type: z.literal("holdfast.stream_error"),
  session_id: z.string(),
  error: z.object({ type: z.string(), message: z.string() }),
  holdfast: z.object({ code: z.string(), remedy: z.string() }),
});
export type StreamSessionError = z.infer<typeof StreamSessionError>;
