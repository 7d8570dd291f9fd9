/** One tool call a turn makes; `input` is streamed as JSON. */
export interface ScriptToolUse {
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** Given only where a test needs a fixed id; else a fresh `toolu_…`. */
  readonly id?: string;
}

/** An HTTP error instead of a message. */
export interface ScriptError {
  readonly status: number;
  /** Anthropic's error type, e.g. `overloaded_error`. */
  readonly type: string;
  readonly message: string;
  /** Seconds for the `retry-after` header. */
  readonly retryAfter?: number;
}

/**
 * One answer of the model, played exactly: blocks come in the order thinking, text, tool uses.
 */
export interface ScriptTurn {
  readonly thinking?: string;
  readonly text?: string;
  readonly toolUse?: ScriptToolUse | readonly ScriptToolUse[];
  /** Default `tool_use` when there is a tool call, else `end_turn`. */
  readonly stopReason?: string;
  /** The text's exact deltas; they must join to `text` when both are given. */
  readonly deltas?: readonly string[];
  /** Wait before each delta. */
  readonly delayMs?: number;
  /** Answers with this error, nothing else. */
  readonly error?: ScriptError;
  /** Ends the connection: in the middle of the text, after the first whole block, or inside a tool call's JSON. */
  readonly cut?: "mid_text" | "after_block" | "mid_tool";
  /** Silence after the first delta. */
  readonly stallMs?: number;
}

/** When a script is played; all given conditions must hold, none given matches every prompt. */
export interface ScriptMatch {
  readonly userTextIncludes?: string;
  /** Session id as in `x-claude-code-session-id`. */
  readonly session?: string;
  /** Source of a regular expression (flag `s`) over the last user text. */
  readonly regex?: string;
}

/** For each prompt that matches, `turns` are played from the first, one per request. */
export interface Script {
  readonly when?: ScriptMatch;
  readonly turns: readonly ScriptTurn[];
  /** How many prompts this script answers before it retires; default: any number. */
  readonly times?: number;
}

/** Anthropic's usage numbers, estimated from lengths. */
export interface ModelUsage {
  readonly input_tokens: number;
  readonly cache_creation_input_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly output_tokens: number;
}

export type EmittedBlock =
  | { readonly type: "thinking"; readonly thinking: string; readonly partial?: true }
  | { readonly type: "text"; readonly text: string; readonly partial?: true }
  | {
      readonly type: "tool_use";
      readonly id: string;
      readonly name: string;
      readonly input: unknown;
      readonly partial?: true;
    };

/** One request and what was said to it, for comparing with somebody's event log. */
export interface RecordEntry {
  /** 1, 2, 3…; gaps mean that old entries were dropped. */
  readonly seq: number;
  readonly at: string;
  readonly sessionId?: string;
  readonly messageId: string;
  readonly model: string;
  readonly stream: boolean;
  readonly lastUserText: string;
  /** The beginnings of the prompts before it, oldest first: what the conversation still knows. */
  readonly earlierPrompts: readonly string[];
  /** Who chose the answer: a script of a test, the plain-words demo, or a side request (summary, title). */
  readonly source: "script" | "demo" | "side";
  readonly blocks: readonly EmittedBlock[];
  readonly stopReason?: string;
  readonly outcome: "complete" | "aborted" | "cut" | "error";
  readonly error?: ScriptError;
}
