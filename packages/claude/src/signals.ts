import type { JsonObject } from "./json.ts";

/** The CLI's question whether a tool may run; fields it adds later stay in. */
export interface CanUseToolRequest extends JsonObject {
  readonly subtype: "can_use_tool";
  readonly tool_name: string;
  readonly input: JsonObject;
  readonly tool_use_id?: string;
}

/** One request of the CLI, with the place in the log that it is about. */
export interface PermissionQuestion {
  readonly requestId: string;
  readonly request: CanUseToolRequest;
  /** Id of the `agent.tool_use` event it is about. */
  readonly toolEventId: string | null;
  /** Of the `agent.tool_use` that started the subagent which asks, when that is known. */
  readonly parentEventId: string | null;
}

export type TurnOutcome = "completed" | "stopped" | "failed" | "limit";

/** What a line means to the host beyond the events it makes. */
export type Signal =
  /** `system/init`: output of a turn begins, also of one that Claude began by itself. */
  | {
      readonly type: "turn_started";
      readonly mode: string;
      readonly model: string;
      /** Of the turn before, in whichever process; null: there was none. */
      readonly modelBefore: string | null;
      /** Of its process. */
      readonly isFirst: boolean;
    }
  | {
      readonly type: "turn_ended";
      readonly outcome: TurnOutcome;
      readonly isError: boolean;
      readonly terminalReason: string | null;
      /** Of this turn alone, US dollars. */
      readonly costUsd: number;
      readonly totalCostUsd: number;
      readonly numTurns: number;
      readonly errors: readonly string[];
      /** Which of our messages it answers; several were merged, none when the turn began by itself. */
      readonly userMessageUuids: readonly string[];
      /** E.g. `task-notification`: nobody asked for this turn. */
      readonly origin: string | null;
      /** Messages that wait inside the CLI and begin another turn at once. */
      readonly queuedTurnCount: number;
      /** 0, 1, 2… per process; a gap is a lost line. */
      readonly resultIndex: number | null;
      /** No turn ran at all: the process could not start or resume; it ends by itself with code 1. */
      readonly startupFailure: boolean;
      /** The session to resume does not exist (it was killed before its first request): start with `--session-id`. */
      readonly conversationNotFound: boolean;
    }
  /** One of our messages was taken: replayed on stdout, or its place in the CLI's own queue changed. */
  | {
      readonly type: "echo";
      readonly uuid: string;
      readonly state: "replayed" | "queued" | "started" | "completed" | "cancelled" | "unknown";
    }
  /** The id to `--resume` with; told whenever it changes (`/clear` changes it in the middle of a process). */
  | { readonly type: "claude_session_id"; readonly id: string }
  | ({ readonly type: "permission_request" } & PermissionQuestion)
  | { readonly type: "permission_cancelled"; readonly requestId: string }
  /** A request of the CLI that is no permission (hooks, MCP, anything new): answer it, with an error if need be. */
  | {
      readonly type: "control_request";
      readonly requestId: string;
      readonly subtype: string;
      readonly request: JsonObject;
    }
  | {
      readonly type: "control_response";
      readonly requestId: string;
      readonly ok: boolean;
      readonly response: unknown;
      readonly error: string | null;
      /** Of an answer to `initialize`: every question that is open. Null: it says nothing of them. */
      readonly pending: readonly PermissionQuestion[] | null;
    }
  /** Live background tasks; a process with any is not idle. */
  | { readonly type: "background_tasks"; readonly count: number }
  | { readonly type: "session_state"; readonly state: string }
  /** A request to the model is on its way. */
  | { readonly type: "model_asked" }
  /** A command of the settings' begins, e.g. `SessionStart:startup`, or has ended: Claude Code waits for it. */
  | { readonly type: "hook"; readonly id: string; readonly name: string; readonly state: "started" | "ended" }
  /** The model's API refuses the credential and the CLI keeps trying (up to three minutes): interrupt it. */
  | { readonly type: "auth_failed_retrying"; readonly attempt: number; readonly errorStatus: number }
  | { readonly type: "permission_mode"; readonly mode: string }
  /** Claude wants to be woken: once without a name, of which it has one at a time, or by a job. */
  | {
      readonly type: "wakeup_set";
      readonly kind: "once" | "cron";
      readonly claudeId: string | null;
      readonly prompt: string;
      readonly reason: string;
      /** Null: it happens once. */
      readonly cron: string | null;
      /** Milliseconds since 1970. */
      readonly dueAt: number;
      readonly maxAgeMs: number | null;
    }
  | { readonly type: "wakeup_cancelled"; readonly claudeId: string }
  /** The CLI has fired one by itself. */
  | { readonly type: "wakeup_fired"; readonly kind: "once" | "cron"; readonly dueAt: number | null }
  /** A command of the CLI itself was called in a message: `/model`, without its slash. */
  | { readonly type: "local_command"; readonly name: string; readonly args: string };
