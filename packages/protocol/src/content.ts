import { z } from "zod";
import { maxContentBlocks } from "./limits.ts";

export const TextBlock = z.object({ type: z.literal("text"), text: z.string() });
export type TextBlock = z.infer<typeof TextBlock>;

export const ImageBlock = z.object({
  type: z.literal("image"),
  source: z.object({ type: z.literal("base64"), media_type: z.string(), data: z.string() }),
});

/** In one pass: the pattern of a library takes a tenth of a second for four megabytes. */
function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[0-9A-Za-z+/]*={0,2}$/.test(text);
}

/** An image that a client sends. What is none would be refused by the model with every later message, too. */
export const SentImageBlock = z.object({
  type: z.literal("image"),
  source: z.object({
    type: z.literal("base64"),
    media_type: z.enum(["image/png", "image/jpeg", "image/gif", "image/webp"]),
    data: z
      .string()
      .min(1, { error: "must not be empty" })
      .refine(isBase64, { error: "must be base64" })
      .meta({ contentEncoding: "base64" }),
  }),
});

const SentBlock = z.discriminatedUnion("type", [TextBlock, SentImageBlock]);

/** What a client's message holds. */
export const SentContent = z
  .array(SentBlock)
  .max(maxContentBlocks, { error: `takes at most ${maxContentBlocks} blocks; put more text into one of them` });
