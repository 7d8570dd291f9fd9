import type { NewEvent } from "@holdfast/protocol";
import { apiErrorEvent } from "./api-errors.ts";
import { clipText } from "./clip.ts";
import { eventIdOf } from "./hash.ts";
import { asAmount, asCount, asNumber, asObject, asString, isObject, type JsonObject, strings } from "./json.ts";
import { dropDraft } from "./map-stream.ts";
import { emit, type Mapping, notice } from "./mapping.ts";
import { endOpenTools } from "./open-tools.ts";
import type { TurnOutcome } from "./signals.ts";

/** How a turn ended. `subtype` alone does not say: API failures come as "success". */
export function classify(line: JsonObject): TurnOutcome {
  const reason = asString(line.terminal_reason) ?? "";
  const subtype = asString(line.subtype) ?? "";
  if (reason.startsWith("aborted_")) return "stopped";
  if (reason === "max_turns" || reason === "budget_exhausted" || subtype.startsWith("error_max_")) return "limit";
  return line.is_error === true || subtype.startsWith("error_") ? "failed" : "completed";
}

/** `result`: the end of a turn. */
export function mapResult(mapping: Mapping, line: JsonObject): void {
  dropDraft(mapping);
  const { inTurn, authFailed } = mapping.state;
  const classified = classify(line);
  // We stop a turn whose credential is refused, rather than let it be tried for minutes.
  const isRefused = authFailed !== undefined && classified === "stopped";
  const outcome = isRefused ? "failed" : classified;
  const errors = strings(line.errors);
  const numTurns = asCount(line.num_turns);
  const isLocalCommand = asString(line.local_command) !== undefined;
  const startupFailure = inTurn !== true && numTurns === 0 && line.is_error === true && !isLocalCommand;
  if (!startupFailure) noteSessionId(mapping, asString(line.session_id));
  const totalCostUsd = asAmount(line.total_cost_usd);
  const costUsd = turnCost(mapping, line, totalCostUsd);
  if (!startupFailure) mapping.state = { ...mapping.state, totalCostUsd };
  const said = asString(line.result) ?? "";
  // A local command's output may have come as words before; a model's words came with their own lines.
  if (isLocalCommand && said.trim() !== "" && mapping.state.localSaid !== eventIdOf(said.trim())) {
    notice(mapping, line, { kind: "local_command", text: clipText(said, 16 * 1024) });
  }
  if (startupFailure) emit(mapping, line, startupError(line, errors));
  else endOpenTools(mapping, "turn");
  if (isRefused) {
    const text = `The model's API refused the credential (${authFailed}); nothing more was tried`;
    emit(mapping, line, apiErrorEvent("authentication_failed", text, authFailed));
  }
  noteResult(mapping, line, startupFailure);
  emit(mapping, line, {
    type: "holdfast.turn_result",
    outcome,
    subtype: asString(line.subtype) ?? "unknown",
    terminal_reason: asString(line.terminal_reason) ?? null,
    is_error: line.is_error === true,
    errors,
    num_turns: numTurns,
    duration_ms: asAmount(line.duration_ms),
    duration_api_ms: asAmount(line.duration_api_ms),
    cost_usd: costUsd,
    total_cost_usd: totalCostUsd,
    usage: usageOf(asObject(line.usage)),
  });
  const uuids = strings(line.user_message_uuids);
  const uuid = asString(line.user_message_uuid);
  mapping.signals.push({
    type: "turn_ended",
    outcome,
    isError: line.is_error === true,
    terminalReason: asString(line.terminal_reason) ?? null,
    costUsd,
    totalCostUsd,
    numTurns,
    errors,
    userMessageUuids: uuids.length === 0 && uuid !== undefined ? [uuid] : uuids,
    origin: asString(asObject(line.origin).kind) ?? null,
    queuedTurnCount: asCount(line.queued_turn_count),
    resultIndex: asNumber(line.result_index) ?? null,
    startupFailure,
    conversationNotFound: startupFailure && errors.some((error) => error.includes("No conversation found")),
  });
}

/** The CLI numbers its results: a gap is output that never reached us. */
function noteResult(mapping: Mapping, line: JsonObject, startupFailure: boolean): void {
  const { nextResult: expected, authFailed: _authFailed, localSaid: _said, ...state } = mapping.state;
  const index = line.result_index === undefined ? undefined : asCount(line.result_index);
  const next = index === undefined ? expected : index + 1;
  const isKnown = next !== undefined && !startupFailure;
  mapping.state = { ...state, inTurn: false, ...(isKnown ? { nextResult: next } : {}) };
  if (index === undefined || expected === undefined || index <= expected) return;
  const missing = index - expected;
  const text = `${missing === 1 ? "The end of a turn is" : `The ends of ${missing} turns are`} missing from Claude Code's output`;
  notice(mapping, line, { kind: "output_lost", level: "warning", text, data: { expected, got: index } });
}

/** Tells the id to resume with when it is a new one. */
export function noteSessionId(mapping: Mapping, id: string | undefined): void {
  const { initialized } = mapping.state;
  if (id === undefined || id === initialized?.claudeSessionId) return;
  mapping.state = {
    ...mapping.state,
    initialized: initialized === null ? null : { ...initialized, claudeSessionId: id },
  };
  mapping.signals.push({ type: "claude_session_id", id });
}

/**
 * The total counts up over the life of a session (a resumed process goes on from what was saved, `/clear` starts
 * again at 0), so a turn's cost is the difference; newer versions also say it themselves, which is right even when a
 * killed process had not saved its total.
 */
function turnCost(mapping: Mapping, line: JsonObject, total: number): number {
  const own = line.model_usage_since_last_result;
  if (isObject(own)) {
    return Object.values(own).reduce<number>((sum, model) => sum + asAmount(asObject(model).costUSD), 0);
  }
  const before = mapping.state.totalCostUsd ?? 0;
  return total >= before ? total - before : total;
}

type Usage = Extract<NewEvent, { type: "holdfast.turn_result" }>["usage"];

function usageOf(usage: JsonObject): Usage {
  return {
    input_tokens: asCount(usage.input_tokens),
    output_tokens: asCount(usage.output_tokens),
    cache_read_input_tokens: asCount(usage.cache_read_input_tokens),
    cache_creation_input_tokens: asCount(usage.cache_creation_input_tokens),
  };
}

function startupError(line: JsonObject, errors: readonly string[]): NewEvent {
  const reason = asString(line.startup_failure_reason);
  const missing = errors.some((error) => error.includes("No conversation found"));
  const message = errors.join("\n") || "Claude Code could not start";
  const remedies: Record<string, string> = {
    config_file_invalid: "The file .claude.json in the session's state is damaged. Start a new session.",
  };
  return {
    type: "session.error",
    error: { type: "unknown_error", message, retry_status: { type: missing ? "retrying" : "terminal" } },
    holdfast: {
      code: missing ? "conversation_not_found" : (reason ?? "claude_start_failed"),
      remedy: missing
        ? "Claude had stored nothing of this conversation yet; it begins anew with your message."
        : ((reason === undefined ? undefined : remedies[reason]) ??
          "Send the message again; if it fails again, start a new session."),
    },
  };
}
