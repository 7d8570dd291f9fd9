import { z } from "zod";
import { ImageBlock, SentContent, TextBlock } from "./content.ts";

/** `next` waits for the running turn; `now` stops it and runs at once. */
export const MessageDelivery = z.enum(["next", "now"]);
export type MessageDelivery = z.infer<typeof MessageDelivery>;

/** What a message may say beyond its content. */
export const MessageDetails = z.strictObject({
  /** The client's own name for it: sent again under the same name it counts once, for ever. */
  client_id: z.string().min(1).max(200).optional(),
  /** Default: `next`. */
  delivery: MessageDelivery.optional(),
});

/** Which turn an interrupt means. */
export const InterruptDetails = z.strictObject({
  /** The message whose turn it is. Nothing happens when that is over. Absent: the turn that runs. */
  message_id: z.string().min(1).max(200).optional(),
});

/** A message that waits or is being worked on. */
export const Message = z
  .object({
    id: z.string().describe("Of its `user.message` event"),
    type: z.literal("message"),
    state: z
      .enum(["queued", "sent", "taken"])
      .describe("`queued` can be changed; `sent` went to Claude; Claude has said that it is `taken`"),
    content: z.array(z.union([TextBlock, ImageBlock])),
    delivery: MessageDelivery,
    client_id: z.string().nullable(),
    created_at: z.string().describe("RFC 3339"),
    edited_at: z.string().nullable(),
  })
  .meta({ id: "Message" });
export type Message = z.infer<typeof Message>;

/** Other words for a message that waits, or another moment. */
export const MessageUpdate = z
  .strictObject({
    content: SentContent.optional(),
    delivery: MessageDelivery.optional(),
  })
  .meta({ id: "MessageUpdate" });
export type MessageUpdate = z.infer<typeof MessageUpdate>;

export const MessageRemoved = z.object({ id: z.string(), type: z.literal("message_deleted") });
export type MessageRemoved = z.infer<typeof MessageRemoved>;

/** What became of a message after it was sent here; the log's `holdfast.message`. */
export const messageChange = {
  /** Of the `user.message` event. */
  message_id: z.string(),
  /**
   * `edited`: it waits with these words; `removed`: it will not run; `started`: Claude gets it; `steered`: Claude gets
   * it in the middle of a turn, which ends for it.
   */
  state: z.enum(["edited", "removed", "started", "steered"]),
  /** What Claude gets, where it is not what was first sent. */
  content: z.array(z.union([TextBlock, ImageBlock])).optional(),
};
