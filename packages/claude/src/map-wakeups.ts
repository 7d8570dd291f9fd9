import { shorten } from "./clip.ts";
import { asNumber, asObject, asString, type JsonObject } from "./json.ts";
import type { Mapping } from "./mapping.ts";
import type { WakeupCall } from "./state.ts";

/** A prompt is kept whole up to this. */
const maxPromptBytes = 16 * 1024;

/** Undefined for every other tool. */
export function wakeupCall(name: string | undefined, input: JsonObject): WakeupCall | undefined {
  if (name !== "ScheduleWakeup" && name !== "CronCreate" && name !== "CronDelete") return undefined;
  return {
    tool: name,
    prompt: shorten(asString(input.prompt) ?? "", maxPromptBytes),
    reason: shorten(asString(input.reason) ?? "", 500),
    cron: asString(input.cron) ?? null,
  };
}

/** The call's result: `tool_use_result`, which is no object where it failed. */
export function noteWakeup(mapping: Mapping, call: WakeupCall, value: unknown): void {
  const result = asObject(value);
  const claudeId = asString(result.id) ?? null;
  const { prompt, reason } = call;
  if (call.tool === "CronDelete") {
    if (claudeId !== null) mapping.signals.push({ type: "wakeup_cancelled", claudeId });
    return;
  }
  const isCron = call.tool === "CronCreate";
  const dueAt = asNumber(isCron ? result.nextFireAt : result.scheduledFor);
  if (dueAt === undefined) return;
  const maxAgeMs = asNumber(result.maxAgeMs);
  mapping.signals.push({
    type: "wakeup_set",
    kind: isCron ? "cron" : "once",
    claudeId,
    prompt,
    reason,
    cron: isCron && result.recurring === true ? call.cron : null,
    dueAt,
    maxAgeMs: maxAgeMs ?? null,
  });
}

/** `command_lifecycle` of a wake-up that the CLI fires by itself. */
export function noteFired(mapping: Mapping, line: JsonObject): void {
  const source = asString(line.wakeup_source);
  if (source === undefined || line.state !== "started") return;
  const dueAt = asNumber(line.scheduled_for) ?? null;
  mapping.signals.push({ type: "wakeup_fired", kind: source === "loop_wakeup" ? "once" : "cron", dueAt });
}
