import { clipLine, shorten } from "./clip.ts";
import { asArray, asNumber, asObject, asString, type JsonObject, strings } from "./json.ts";
import { showPath } from "./map-assistant.ts";
import { noteSessionId } from "./map-result.ts";
import { mapBackgroundTasks, mapSessionState, noteTaskStart } from "./map-tasks.ts";
import { emit, type Mapping, notice } from "./mapping.ts";
import { toolEvent } from "./state.ts";

/** Lines of types nobody here knows are kept up to this size in the event. */
export const maxOtherBytes = 16 * 1024;

export function mapOther(mapping: Mapping, line: JsonObject, lineType: string): void {
  emit(mapping, line, { type: "holdfast.other", line_type: lineType, line: clipLine(line, maxOtherBytes) });
}

/** `system/*`. */
export function mapSystem(mapping: Mapping, line: JsonObject): void {
  const subtype = asString(line.subtype) ?? "unknown";
  const quiet = quietSubtypes.get(subtype);
  if (quiet !== undefined) mapping.quiet = quiet;
  else if (handlers.has(subtype)) handlers.get(subtype)?.(mapping, line);
  else mapOther(mapping, line, `system/${subtype}`);
}

const quietSubtypes = new Map<string, string>([
  ["thinking_tokens", "estimate of thinking tokens"],
  ["hook_progress", "a hook goes on"],
  ["ui_invalidate", "redraw of a terminal"],
  ["commands_changed", "list of slash commands"],
  ["files_persisted", "a file was stored by the CLI"],
  ["session_title_changed", "title that the CLI has for itself"],
]);

type Handler = (mapping: Mapping, line: JsonObject) => void;

const handlers = new Map<string, Handler>([
  ["init", mapInit],
  ["status", mapStatus],
  ["api_retry", mapRetry],
  ["compact_boundary", mapCompacted],
  ["hook_started", mapHookStarted],
  ["hook_response", mapHook],
  ["background_tasks_changed", mapBackgroundTasks],
  ["session_state_changed", mapSessionState],
  ["task_started", mapTask],
  ["task_progress", mapTask],
  ["task_updated", mapTask],
  ["task_notification", mapTask],
  ["permission_denied", mapDenied],
  ["session_writes_lost", mapWritesLost],
  ["model_fallback", mapBanner],
  ["model_refusal_fallback", mapBanner],
  ["model_refusal_no_fallback", mapBanner],
  ["informational", mapBanner],
  ["notification", mapBanner],
  ["local_command_output", mapBanner],
]);

function mapInit(mapping: Mapping, line: JsonObject): void {
  const before = mapping.state.initialized;
  const claudeSessionId = asString(line.session_id) ?? before?.claudeSessionId ?? "";
  const model = asString(line.model) ?? before?.model ?? "unknown";
  const mode = asString(line.permissionMode) ?? before?.mode ?? "default";
  const cwd = asString(line.cwd) ?? mapping.context.workspaceMount;
  const volumeRoot = /^\/__modal\/volumes\/[^/]+/.exec(cwd)?.[0] ?? null;
  noteSessionId(mapping, claudeSessionId);
  const { epoch, begun } = mapping.state;
  mapping.state = {
    ...mapping.state,
    epoch: epoch + 1,
    inTurn: true,
    begun: true,
    mode,
    volumeRoot,
    initialized: { claudeSessionId, model, mode },
  };
  const modelBefore = before?.model ?? null;
  mapping.signals.push({ type: "turn_started", mode, model, modelBefore, isFirst: begun !== true });
  if (before?.claudeSessionId === claudeSessionId && before.model === model && before.mode === mode) {
    mapping.quiet = "another turn of the same session begins";
    return;
  }
  emit(mapping, line, {
    type: "holdfast.initialized",
    first: before === null,
    claude_session_id: claudeSessionId,
    model,
    cwd: volumeRoot === null ? cwd : showPath(cwd, volumeRoot, mapping.context.workspaceMount),
    permission_mode: mode,
    claude_code_version: asString(line.claude_code_version) ?? "unknown",
    tools: strings(line.tools),
    mcp_servers: asArray(line.mcp_servers).map((server) => ({
      name: asString(asObject(server).name) ?? "unknown",
      status: asString(asObject(server).status) ?? "unknown",
    })),
    scripted: mapping.context.scripted,
  });
}

function mapStatus(mapping: Mapping, line: JsonObject): void {
  const mode = asString(line.permissionMode);
  const status = asString(line.status);
  const { initialized } = mapping.state;
  mapping.quiet = `status ${status ?? "ended"}`;
  if (status === "requesting") mapping.signals.push({ type: "model_asked" });
  if (mode !== undefined && mode !== (mapping.state.mode ?? initialized?.mode)) {
    const known = initialized === null ? null : { ...initialized, mode };
    mapping.state = { ...mapping.state, mode, initialized: known };
    mapping.signals.push({ type: "permission_mode", mode });
    notice(mapping, line, { kind: "permission_mode", text: `Permission mode: ${mode}`, data: { mode } });
  }
  if (status === "compacting") notice(mapping, line, { kind: "compacting", text: "Compacting the conversation…" });
  const failure = asString(line.compact_error);
  if (failure !== undefined) {
    const text = `The conversation could not be compacted: ${failure}`;
    notice(mapping, line, { kind: "compact_failed", level: "warning", text });
  }
}

function mapRetry(mapping: Mapping, line: JsonObject): void {
  const delayMs = asNumber(line.retry_delay_ms) ?? 0;
  const status = asNumber(line.error_status);
  const attempt = asNumber(line.attempt) ?? 0;
  const error = asString(line.error) ?? "unknown";
  const cause = status === undefined ? "The connection to the model failed" : `The model's API answered ${status}`;
  const wait = delayMs < 10_000 ? (delayMs / 1000).toFixed(1) : String(Math.round(delayMs / 1000));
  notice(mapping, line, {
    kind: "api_retry",
    level: "warning",
    text: `${cause} (${error}). Retry ${attempt} of ${asNumber(line.max_retries) ?? "?"} in ${wait} s.`,
    retry_delay_ms: delayMs,
    data: { attempt, max_retries: asNumber(line.max_retries) ?? null, error_status: status ?? null, error },
  });
  if (status === 401 || status === 403) {
    mapping.state = { ...mapping.state, authFailed: status };
    mapping.signals.push({ type: "auth_failed_retrying", attempt, errorStatus: status });
  }
}

function mapCompacted(mapping: Mapping, line: JsonObject): void {
  const meta = asObject(line.compact_metadata);
  const before = asNumber(meta.pre_tokens);
  const after = asNumber(meta.post_tokens);
  mapping.state = { ...mapping.state, summaryComes: true };
  emit(mapping, line, { type: "agent.thread_context_compacted" });
  notice(mapping, line, {
    kind: "compact_boundary",
    text: `The conversation was compacted from ${before ?? "?"} to ${after ?? "?"} tokens`,
    data: { trigger: asString(meta.trigger) ?? null, pre_tokens: before ?? null, post_tokens: after ?? null },
  });
}

function mapHookStarted(mapping: Mapping, line: JsonObject): void {
  mapping.quiet = "a hook starts";
  signalHook(mapping, line, "started");
}

function signalHook(mapping: Mapping, line: JsonObject, state: "started" | "ended"): void {
  const name = asString(line.hook_name) ?? "?";
  mapping.signals.push({ type: "hook", id: asString(line.hook_id) ?? name, name, state });
}

function mapHook(mapping: Mapping, line: JsonObject): void {
  signalHook(mapping, line, "ended");
  if (line.outcome === "success") {
    mapping.quiet = "a hook succeeded";
    return;
  }
  const name = asString(line.hook_name) ?? "?";
  const output = asString(line.stderr) || asString(line.output) || "";
  notice(mapping, line, {
    kind: "hook_response",
    level: "warning",
    text: shorten(`Hook ${name}: ${asString(line.outcome) ?? "failed"}\n${output}`.trim(), 4096),
    data: { hook_name: name, exit_code: asNumber(line.exit_code) ?? null },
  });
}

function mapTask(mapping: Mapping, line: JsonObject): void {
  const kind = asString(line.subtype) ?? "task";
  if (kind === "task_started") noteTaskStart(mapping, line);
  const patch = asObject(line.patch);
  const status = asString(line.status) ?? asString(patch.status);
  const what = asString(line.summary) ?? asString(line.description) ?? asString(line.task_id) ?? "task";
  const toolUseId = asString(line.tool_use_id);
  const failed = status === "failed" || asString(patch.error) !== undefined;
  const isMoved = patch.is_backgrounded === true;
  if (kind === "task_updated" && !failed && !isMoved) {
    mapping.quiet = "state of a task, told in words by its notification";
    return;
  }
  const state = status ?? (isMoved ? "moved to the background" : undefined);
  notice(mapping, line, {
    kind,
    level: failed ? "warning" : "info",
    text: shorten(state === undefined || what.includes(state) ? what : `${what}: ${state}`, 4096),
    data: {
      task_id: asString(line.task_id) ?? null,
      ...(toolUseId === undefined
        ? {}
        : { tool_event_id: toolEvent(mapping.state, mapping.context.sessionId, toolUseId) }),
      ...pick(line, ["task_type", "is_backgrounded", "subagent_type", "last_tool_name", "usage"]),
      ...(status === undefined ? {} : { status }),
      ...pick(patch, ["error", "is_backgrounded"]),
    },
  });
}

function pick(from: JsonObject, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));
}

function mapDenied(mapping: Mapping, line: JsonObject): void {
  const toolUseId = asString(line.tool_use_id);
  const { sessionId } = mapping.context;
  notice(mapping, line, {
    kind: "permission_denied",
    level: "warning",
    text: shorten(asString(line.message) ?? "A tool call was refused", 4096),
    data: {
      tool_name: asString(line.tool_name) ?? null,
      ...(toolUseId === undefined ? {} : { tool_event_id: toolEvent(mapping.state, sessionId, toolUseId) }),
    },
  });
}

function mapWritesLost(mapping: Mapping, line: JsonObject): void {
  notice(mapping, line, {
    kind: "session_writes_lost",
    level: "error",
    text: `Claude could not store this conversation (${asString(line.error_code) ?? "unknown error"}): it may not remember it after a restart. Free space in the workspace's state volume.`,
    data: { error_code: asString(line.error_code) ?? null, lost: strings(line.lost) },
  });
}

const bannerTexts = new Map<string, string>([
  ["model_refusal_no_fallback", "The model refused to answer"],
  ["model_refusal_fallback", "The model refused to answer; another model goes on"],
  ["model_fallback", "Claude goes on with another model"],
  // By the key of a notification, whose own words are for terminals.
  [
    "stop-hook-error",
    "A Stop hook of the settings failed, or wanted Claude to go on. Claude Code does not say what it printed: run its command by hand to see that.",
  ],
]);

function mapBanner(mapping: Mapping, line: JsonObject): void {
  const kind = asString(line.subtype) ?? "informational";
  const level = asString(line.level) ?? "info";
  const known = bannerTexts.get(asString(line.key) ?? "");
  const said = (asString(line.content) || asString(line.text) || "").replace(/ · ctrl\+\w to \w+$/, "");
  const text = known ?? (said || bannerTexts.get(kind) || kind);
  const isWarning = level === "warning" || known !== undefined || kind.startsWith("model_");
  notice(mapping, line, {
    kind,
    level: level === "error" ? "error" : isWarning ? "warning" : "info",
    text: shorten(text, 8192),
    data: pick(line, [
      "key",
      "priority",
      "tag",
      "trigger",
      "original_model",
      "fallback_model",
      "retracted_message_uuids",
    ]),
  });
}
