import type { JsonObject } from "./json.ts";

/**
 * Lines for the CLI's stdin, without their newline. One bad line ends the process: nothing but these functions should
 * write there.
 */

export type InputBlock =
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "image";
      readonly source: { readonly type: "base64"; readonly media_type: string; readonly data: string };
    };

export interface UserLine {
  readonly content: string | readonly InputBlock[];
  /** A UUID of ours: the echo, the lifecycle lines and the result name it. */
  readonly uuid: string;
  /** `now` stops the running turn; `next` and `later` wait for it. */
  readonly priority?: "now" | "next" | "later";
  /** Made by a machine: no slash command, no `@file`. */
  readonly clientComposed?: boolean;
}

export function userLine(line: UserLine): string {
  return toLine({
    type: "user",
    message: { role: "user", content: line.content },
    parent_tool_use_id: null,
    uuid: line.uuid,
    ...(line.priority === undefined ? {} : { priority: line.priority }),
    ...(line.clientComposed === true ? { client_composed: true } : {}),
  });
}

export function controlRequest(requestId: string, request: JsonObject & { readonly subtype: string }): string {
  return toLine({ type: "control_request", request_id: requestId, request });
}

/** Stops the running turn; harmless when none runs. `cancelQueued` also withdraws messages that wait in the CLI. */
export function interruptRequest(requestId: string, options: { cancelQueued?: boolean } = {}): string {
  const cancel = options.cancelQueued === true ? { cancel_queued: true } : {};
  return controlRequest(requestId, { subtype: "interrupt", ...cancel });
}

/**
 * Answered even before the first message, and again later: with the permission questions that are still open. A process
 * that is not told so goes on with the system prompt that the conversation began with, whatever its arguments say.
 */
export function initializeRequest(requestId: string): string {
  return controlRequest(requestId, { subtype: "initialize", systemPromptSnapshot: false });
}

export function setPermissionModeRequest(requestId: string, mode: PermissionMode): string {
  return controlRequest(requestId, { subtype: "set_permission_mode", mode });
}

/** Ends one task of the background; one that is not there is no error. */
export function stopTaskRequest(requestId: string, taskId: string): string {
  return controlRequest(requestId, { subtype: "stop_task", task_id: taskId });
}

/** Null: the CLI's own choice. */
export function setModelRequest(requestId: string, model: string | null): string {
  return controlRequest(requestId, { subtype: "set_model", model: model ?? "default" });
}

/** Null: the model's own. */
export function setEffortRequest(requestId: string, effort: string | null): string {
  return controlRequest(requestId, { subtype: "apply_flag_settings", settings: { effortLevel: effort } });
}

export type PermissionMode = "default" | "acceptEdits" | "plan" | "bypassPermissions" | "dontAsk" | "auto";

export type PermissionAnswer =
  /** `updatedInput` is what runs: always send the request's input, or a changed one. */
  | { readonly behavior: "allow"; readonly updatedInput: JsonObject; readonly updatedPermissions?: readonly unknown[] }
  /** `interrupt` also ends the turn. */
  | { readonly behavior: "deny"; readonly message: string; readonly interrupt?: boolean };

export function permissionResponse(requestId: string, answer: PermissionAnswer): string {
  return controlResponse(requestId, { ...answer });
}

export function controlResponse(requestId: string, response: JsonObject): string {
  return toLine({ type: "control_response", response: { subtype: "success", request_id: requestId, response } });
}

/** To a request that we do not serve. */
export function controlErrorResponse(requestId: string, error: string): string {
  return toLine({ type: "control_response", response: { subtype: "error", request_id: requestId, error } });
}

/** U+2028 and U+2029 are legal in JSON, yet some readers take them for line ends. */
function toLine(value: JsonObject): string {
  return JSON.stringify(value).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}
