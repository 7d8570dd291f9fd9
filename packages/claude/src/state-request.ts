import type { ClaudeStateName } from "@holdfast/protocol";
import { asObject, asString, type JsonObject } from "./json.ts";
import { controlRequest } from "./writers.ts";

/** One of the questions that the CLI answers by itself, in a turn, too, without asking its model. */
export interface StateQuestion {
  readonly name: ClaudeStateName;
  /** Of `files`; else empty. */
  readonly query: string;
}

const prefix = "claude-state-";

/** Anything but the summary of `get_context_usage` has the tokens counted by some thirty requests to the model's API. */
const requests: Record<Exclude<ClaudeStateName, "files">, JsonObject & { subtype: string }> = {
  context: { subtype: "get_context_usage", detail: "summary" },
  models: { subtype: "list_models" },
  mcp: { subtype: "mcp_status" },
  permissions: { subtype: "list_permission_rules" },
  // Said again to a living process it changes nothing, and its answer lists the commands of now.
  commands: { subtype: "initialize", systemPromptSnapshot: false },
  settings: { subtype: "get_settings" },
  // Otherwise the transcripts of a week are read.
  usage: { subtype: "get_usage", skip_behaviors: true },
  hooks: { subtype: "get_hooks_listing" },
  plan: { subtype: "get_plan" },
};

/** `id`: of its own for every request; the answer is recognised by what this gives as `requestId`. */
export function stateRequest(id: string, { name, query }: StateQuestion): { line: string; requestId: string } {
  const requestId = `${prefix}${id}`;
  const request = name === "files" ? { subtype: "file_suggestions", query } : requests[name];
  return { line: controlRequest(requestId, request), requestId };
}

/** Whether the id is that of a `stateRequest`. */
export function isStateRequestId(requestId: string): boolean {
  return requestId.startsWith(prefix);
}

/**
 * Whether a line answers a `stateRequest`. It is nothing of the conversation, comes as often as a client looks, and may
 * hold what must not be kept: the values of `env` in settings files.
 */
export function isStateAnswer(line: JsonObject): boolean {
  return line.type === "control_response" && isStateRequestId(asString(asObject(line.response).request_id) ?? "");
}
