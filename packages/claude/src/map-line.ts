import { clipText, shorten } from "./clip.ts";
import type { DecodedLine } from "./decode.ts";
import { eventIdOf } from "./hash.ts";
import { asNumber, asObject, asString, type JsonObject } from "./json.ts";
import { mapAssistant } from "./map-assistant.ts";
import { mapResult } from "./map-result.ts";
import { dropDraft, mapStreamEvent } from "./map-stream.ts";
import { mapOther, mapSystem, maxOtherBytes } from "./map-system.ts";
import { clearTodos } from "./map-todos.ts";
import { mapUser } from "./map-user.ts";
import { noteFired } from "./map-wakeups.ts";
import { beginMapping, emit, type MapperContext, type Mapping, type MapResult, notice } from "./mapping.ts";
import { endOpenTools } from "./open-tools.ts";
import type { CanUseToolRequest, PermissionQuestion, Signal } from "./signals.ts";
import { type MapperState, toolEvent, toolParent } from "./state.ts";
import { isStateAnswer } from "./state-request.ts";

/**
 * What one line of the CLI means: events for the log, live text, signals for the host. Pure and deterministic: the same
 * state and line give the same result, ids included. Never throws on anything the CLI may print.
 */
export function mapLine(state: MapperState, line: DecodedLine, context: MapperContext): MapResult {
  const mapping = beginMapping({ ...state, lines: state.lines + 1 }, context);
  if (line.kind === "text") mapText(mapping, line.text);
  else dispatch(mapping, line.value);
  return finish(mapping);
}

/** The process is gone: its draft comes to nothing. Call it once before lines of the session's next process. */
export function endProcess(state: MapperState, context: MapperContext): MapResult {
  const mapping = beginMapping(state, context);
  dropDraft(mapping);
  endOpenTools(mapping, "process");
  const { authFailed: _authFailed, mode: _mode, sessionState: _sessionState, ...rest } = mapping.state;
  const none = { backgroundTasks: 0, tasks: [], hadAgents: false };
  if ((rest.tasks ?? []).length > 0) {
    const id = eventIdOf(context.sessionId, "no-background", state.lines);
    emit(mapping, undefined, { id, type: "holdfast.background", tasks: [] });
  }
  mapping.state = { ...rest, ...none, inTurn: false, begun: false, nextResult: 0 };
  mapping.quiet = "end of a process";
  return finish(mapping);
}

function finish(mapping: Mapping): MapResult {
  const { state, events, drafts, signals } = mapping;
  const result = { state, events, drafts, signals };
  return events.length > 0 ? result : { ...result, quiet: mapping.quiet ?? "nothing to show" };
}

function mapText(mapping: Mapping, text: string): void {
  if (text === "") {
    mapping.quiet = "blank line";
    return;
  }
  emit(mapping, undefined, { type: "holdfast.other", line_type: "text", line: clipText(text, maxOtherBytes) });
}

const quietTypes = new Map<string, string>([
  ["keep_alive", "keep-alive"],
  ["transcript_mirror", "copy of the transcript"],
  ["prompt_suggestion", "suggestion for the next prompt"],
]);

function dispatch(mapping: Mapping, line: JsonObject): void {
  const type = asString(line.type) ?? "unknown";
  const quiet = quietTypes.get(type);
  if (quiet !== undefined) mapping.quiet = quiet;
  else if (handlers.has(type)) handlers.get(type)?.(mapping, line);
  else mapOther(mapping, line, type);
}

const handlers = new Map<string, (mapping: Mapping, line: JsonObject) => void>([
  ["assistant", mapAssistant],
  ["user", mapUser],
  ["system", mapSystem],
  ["result", mapResult],
  ["stream_event", mapStreamEvent],
  ["control_request", mapControlRequest],
  ["control_response", mapControlResponse],
  ["control_cancel_request", mapControlCancel],
  ["command_lifecycle", mapCommandLifecycle],
  ["conversation_reset", mapConversationReset],
  ["tool_progress", mapToolProgress],
  ["tool_use_summary", mapToolUseSummary],
]);

function mapControlRequest(mapping: Mapping, line: JsonObject): void {
  const request = asObject(line.request);
  const requestId = asString(line.request_id) ?? "";
  const subtype = asString(request.subtype) ?? "unknown";
  mapping.quiet = `control_request ${subtype}`;
  if (subtype === "can_use_tool") mapping.signals.push({ type: "permission_request", ...questionOf(mapping, line) });
  else mapping.signals.push({ type: "control_request", requestId, subtype, request });
}

function questionOf(mapping: Mapping, line: JsonObject): PermissionQuestion {
  const request = asObject(line.request);
  const toolUseId = asString(request.tool_use_id);
  const question: CanUseToolRequest = {
    ...request,
    subtype: "can_use_tool",
    tool_name: asString(request.tool_name) ?? "unknown",
    input: asObject(request.input),
  };
  return {
    requestId: asString(line.request_id) ?? "",
    request: question,
    toolEventId: toolUseId === undefined ? null : toolEvent(mapping.state, mapping.context.sessionId, toolUseId),
    parentEventId:
      toolUseId === undefined ? null : (toolParent(mapping.state, mapping.context.sessionId, toolUseId) ?? null),
  };
}

function mapControlResponse(mapping: Mapping, line: JsonObject): void {
  const response = asObject(line.response);
  mapping.quiet = "control_response";
  // Whoever only looks sets nothing.
  if (!isStateAnswer(line)) noteSettings(mapping, line, asObject(response.response));
  mapping.signals.push({
    type: "control_response",
    requestId: asString(response.request_id) ?? "",
    ok: response.subtype === "success",
    response: response.response ?? null,
    error: asString(response.error) ?? null,
    // Beside the answer, not in it.
    pending: Array.isArray(response.pending_permission_requests)
      ? response.pending_permission_requests.map((each) => questionOf(mapping, asObject(each)))
      : null,
  });
}

/** What it was set to from outside, and goes on with: the lines that follow say nothing new then. */
function noteSettings(mapping: Mapping, line: JsonObject, answer: JsonObject): void {
  const { initialized } = mapping.state;
  const mode = asString(answer.mode);
  const model = asString(answer.model) ?? initialized?.model;
  if (mode !== undefined && mode !== (mapping.state.mode ?? initialized?.mode))
    notice(mapping, line, { kind: "permission_mode", text: `Permission mode: ${mode}`, data: { mode } });
  if (mode !== undefined) mapping.state = { ...mapping.state, mode };
  if (initialized === null || model === undefined) return;
  mapping.state = { ...mapping.state, initialized: { ...initialized, model, mode: mode ?? initialized.mode } };
}

function mapControlCancel(mapping: Mapping, line: JsonObject): void {
  mapping.quiet = "control_cancel_request";
  mapping.signals.push({ type: "permission_cancelled", requestId: asString(line.request_id) ?? "" });
}

type EchoState = Extract<Signal, { type: "echo" }>["state"];
const echoStates: readonly EchoState[] = ["queued", "started", "completed", "cancelled"];

function mapCommandLifecycle(mapping: Mapping, line: JsonObject): void {
  mapping.quiet = "command_lifecycle";
  noteFired(mapping, line);
  const uuid = asString(line.command_uuid);
  const state = echoStates.find((known) => known === line.state) ?? "unknown";
  if (uuid !== undefined) mapping.signals.push({ type: "echo", uuid, state });
}

function mapConversationReset(mapping: Mapping, line: JsonObject): void {
  // The next result counts from 0 again; its own lines carry the new session id.
  mapping.state = { ...mapping.state, totalCostUsd: 0 };
  clearTodos(mapping, line);
  notice(mapping, line, { kind: "conversation_reset", text: "The conversation was cleared; Claude starts anew" });
}

function mapToolProgress(mapping: Mapping, line: JsonObject): void {
  const toolUseId = (asString(line.tool_use_id) ?? "").replace(/-heartbeat-\d+$/, "");
  const seconds = asNumber(line.elapsed_time_seconds) ?? 0;
  notice(mapping, line, {
    kind: "tool_progress",
    text: `${asString(line.tool_name) ?? "Tool"} has been running for ${Math.round(seconds)} s`,
    data: {
      tool_event_id: toolEvent(mapping.state, mapping.context.sessionId, toolUseId),
      elapsed_time_seconds: seconds,
    },
  });
}

function mapToolUseSummary(mapping: Mapping, line: JsonObject): void {
  notice(mapping, line, {
    kind: "tool_use_summary",
    text: shorten(asString(line.summary) ?? "", 4096),
  });
}
