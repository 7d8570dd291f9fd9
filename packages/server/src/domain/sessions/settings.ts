import type { PermissionMode } from "@holdfast/claude";
import type { NewEvent, SessionSettings, SettingsChange } from "@holdfast/protocol";

/** What a session is set to, as its row has it; null: as its agent, or Claude Code itself, has it. */
export interface Settings {
  permission_mode: string | null;
  model: string | null;
  effort: string | null;
}

/** What a line of Claude Code says about them. */
export type SettingsLine =
  /** A turn begins. `isFirst`: of its process, which was started with what the session is set to. */
  | { type: "began"; mode: string; model: string; modelBefore: string | null; isFirst: boolean }
  /** The mode changed in the middle of a turn: Claude, or an answer, did it. */
  | { type: "mode"; mode: string }
  /** A message called a command of Claude Code's own. */
  | { type: "command"; name: string; args: string };

export interface SettingsContext {
  /** The mode where the session's row says nothing. */
  launchMode: string;
  /** A client has set the mode, and the process does not know that yet. */
  isModePending: boolean;
}

export interface SettingsStep {
  settings: Settings;
  /** What could not be restored, for the reader. */
  warning: string | null;
  /** The process may do more than the session is set to: it must be stopped, and told this. */
  correct: PermissionMode | null;
  /** Claude went into a more careful mode after a client had chosen another: that one does not wait any more. */
  overtakes: boolean;
}

const order = ["plan", "dontAsk", "default", "acceptEdits", "auto", "bypassPermissions"];
const efforts = new Set(["low", "medium", "high", "xhigh", "max"]);

/** How much a mode permits; a mode that nobody here knows permits everything. */
export function permissiveness(mode: string): number {
  const at = order.indexOf(mode === "manual" ? "default" : mode);
  return at === -1 ? order.length : at;
}

/** What the session is set to after a line. Pure. */
export function afterLine(settings: Settings, line: SettingsLine, context: SettingsContext): SettingsStep {
  if (line.type === "began") return afterBegin(settings, line, context);
  if (line.type === "mode") return afterMode(settings, line.mode, context);
  return still(afterCommand(settings, line));
}

const still = (settings: Settings): SettingsStep => ({ settings, warning: null, correct: null, overtakes: false });

function afterBegin(
  settings: Settings,
  line: Extract<SettingsLine, { type: "began" }>,
  { launchMode, isModePending }: SettingsContext,
): SettingsStep {
  const wanted = settings.permission_mode ?? launchMode;
  // What a process was started with says nothing new. In its middle another model is one that was asked for there.
  const isChosen = !line.isFirst && line.modelBefore !== null && line.model !== line.modelBefore;
  const changed = isChosen ? { ...settings, model: line.model } : settings;
  if (isModePending) return still(changed);
  if (permissiveness(line.mode) > permissiveness(wanted)) {
    const correct = wanted as PermissionMode;
    const warning = `Claude Code began in the permission mode ${line.mode} instead of ${wanted}; it was stopped before it acted`;
    return { ...still({ ...changed, permission_mode: wanted }), warning, correct };
  }
  const warning =
    line.isFirst && permissiveness(line.mode) < permissiveness(wanted)
      ? `Claude Code does not take the permission mode ${wanted} here; it goes on in ${line.mode}`
      : null;
  return { ...still({ ...changed, permission_mode: line.mode }), warning };
}

/** While a client's own choice is on its way, only what permits less counts. */
function afterMode(settings: Settings, mode: string, { launchMode, isModePending }: SettingsContext): SettingsStep {
  const wanted = settings.permission_mode ?? launchMode;
  if (isModePending && permissiveness(mode) >= permissiveness(wanted)) return still(settings);
  return { ...still({ ...settings, permission_mode: mode }), overtakes: isModePending };
}

function afterCommand(settings: Settings, { name, args }: Extract<SettingsLine, { type: "command" }>): Settings {
  if (name !== "effort") return settings;
  if (args === "auto") return { ...settings, effort: null };
  return efforts.has(args) ? { ...settings, effort: args } : settings;
}

/** What a client asked for. */
export function afterChange(settings: Settings, change: SettingsChange): Settings {
  const { permission_mode: mode = settings.permission_mode, model = settings.model, effort = settings.effort } = change;
  return { permission_mode: mode, model, effort };
}

export function isSame(a: Settings, b: Settings): boolean {
  return a.permission_mode === b.permission_mode && a.model === b.model && a.effort === b.effort;
}

/** As the API has it. */
export function toSettings(settings: Settings, launchMode: string): SessionSettings {
  const { permission_mode: mode, model, effort } = settings;
  return { permission_mode: mode ?? launchMode, model, effort };
}

export function settingsEvent(settings: Settings, launchMode: string): NewEvent {
  return { type: "session.updated", holdfast: { settings: toSettings(settings, launchMode) } };
}

/** What a process was told of them; kept with its row. */
export interface ToldSettings {
  /** In which mode it was started: only a process that was started so may change to `bypassPermissions`. */
  launched: string;
  /** As `mode_seq`, when it was started. */
  launch_seq: number;
  /** Up to which event the client's choices of a mode are known to it. */
  mode_seq: number;
  model: string | null;
  effort: string | null;
}

/** Whether a process must be replaced to have this mode. */
export function needsOtherProcess(told: ToldSettings, mode: string): boolean {
  return mode === "bypassPermissions" && told.launched !== "bypassPermissions";
}

/**
 * Whether the next turn wants another process. One that was started to ask nothing trusts the workspace's own hooks and
 * rules; where a client wants to be asked from now on, it may not go on so.
 */
export function isOutdated(told: ToldSettings, { mode, modeSeq }: { mode: string; modeSeq: number }): boolean {
  if (needsOtherProcess(told, mode)) return true;
  const asks = mode !== "bypassPermissions" && mode !== "plan";
  return asks && told.launched === "bypassPermissions" && told.launch_seq < modeSeq;
}
