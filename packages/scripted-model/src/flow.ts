import type { PastToolUse } from "./request.ts";
import type { ScriptTurn } from "./types.ts";

/** Yields one answer after the other and gets the tool calls of each back, with their results. */
export type Flow<Result> = Generator<ScriptTurn, Result, readonly PastToolUse[]>;
