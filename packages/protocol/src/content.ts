import { z } from "zod";

export const TextBlock = z.object({ type: z.literal("text"), text: z.string() });
export type TextBlock = z.infer<typeof TextBlock>;

export const ImageBlock = z.object({
  type: z.literal("image"),
  source: z.object({ type: z.literal("base64"), media_type: z.string(), data: z.string() }),
});

/** An image that a client sends. What is none would be refused by the model with every later message, too. */
export const SentImageBlock = z.object({
  type: z.literal("image"),
  source: z.object({
    type: z.literal("base64"),
    media_type: z.enum(["image/png", "image/jpeg", "image/gif", "image/webp"]),
    data: z.base64({ error: "must be base64" }).min(1, { error: "must not be empty" }),
  }),
});

export const SentBlock = z.discriminatedUnion("type", [TextBlock, SentImageBlock]);
