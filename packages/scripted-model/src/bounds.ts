import type { JsonBounds } from "@holdfast/std";

/** The largest conversation that the scripted model reads: one thread reads all of them. */
export const conversationBounds: JsonBounds = { bytes: 8 * 1024 * 1024, depth: 200, keys: 60_000, values: 120_000 };
