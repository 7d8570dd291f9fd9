import {
  interruptRequest,
  type PermissionMode,
  type Signal,
  setEffortRequest,
  setModelRequest,
  setPermissionModeRequest,
} from "@holdfast/claude";
import type { NewEvent } from "@holdfast/protocol";
import {
  afterLine,
  isOutdated,
  isSame,
  needsOtherProcess,
  type Settings,
  type SettingsLine,
  settingsEvent,
  type ToldSettings,
} from "../sessions/settings.ts";
import type { HeldProcess } from "./held-process.ts";
import type { LinePart } from "./line-parts.ts";
import type { SessionDesk } from "./session-desk.ts";
import { processSettings, type SessionSettingsRow, sessionSettings, storeTold } from "./settings-rows.ts";

type Answered = Extract<Signal, { type: "control_response" }>;

/** How a change is named on stdin: the answer names it again. */
const name = /^settings-(\d+)-(permission_mode|model|effort)$/;

/** What a line says of the session's settings becomes the session's, in the transaction of that line. */
export function onSettingsLine(
  desk: SessionDesk,
  running: HeldProcess,
  { line, say }: { line: SettingsLine; say: (line: string, lineId: string) => void },
): LinePart {
  let correct: PermissionMode | null = null;
  return {
    more: async (tx) => {
      const launchMode = desk.launchMode;
      const row = await sessionSettings(tx, desk.session.id);
      const told = await processSettings(tx, running.process.processId);
      const isModePending = told !== null && told.mode_seq < row.mode_seq;
      const step = afterLine(row, line, { launchMode, isModePending });
      correct = step.correct;
      if (step.overtakes && told !== null)
        await storeTold(tx, running.process.processId, { ...told, mode_seq: row.mode_seq });
      const events: NewEvent[] = step.warning === null ? [] : [notRestored(step.warning)];
      return changed(row, step.settings, { launchMode, events });
    },
    after: () => {
      if (correct === null) return;
      const id = crypto.randomUUID();
      say(interruptRequest(`${id}-i`), `${id}-i`);
      say(setPermissionModeRequest(`${id}-m`, correct), `${id}-m`);
    },
  };
}

/** The process has taken a change, or says why not: then the session is what the process is. */
export function onSettingsAnswer(desk: SessionDesk, running: HeldProcess, answer: Answered): LinePart | undefined {
  const [, seq = "", field = ""] = name.exec(answer.requestId) ?? [];
  if (seq === "") return undefined;
  const { processId } = running.process;
  return {
    more: async (tx) => {
      const row = await sessionSettings(tx, desk.session.id);
      const told = await processSettings(tx, processId);
      if (told === null) return { events: [] };
      await storeTold(tx, processId, afterAnswer(told, row, { seq: Number(seq), field }));
      const { mode = null } = running.process.mapper;
      const settings = settingsOf(row);
      const context = { launchMode: desk.launchMode, events: [] };
      // What was done last counts, also where Claude had changed it in between.
      if (answer.ok && field === "permission_mode" && Number(seq) === row.mode_seq)
        return changed(row, { ...settings, permission_mode: mode }, context);
      if (answer.ok) return { events: [] };
      const events = [notRestored(`Claude Code does not take this ${words[field]}: ${answer.error ?? "no reason"}`)];
      const was = { permission_mode: mode, model: told.model, effort: told.effort }[field];
      return changed(row, { ...settings, [field]: was }, { ...context, events });
    },
  };
}

function afterAnswer(
  told: ToldSettings,
  row: SessionSettingsRow,
  { seq, field }: { seq: number; field: string },
): ToldSettings {
  if (field === "permission_mode") return { ...told, mode_seq: Math.max(told.mode_seq, seq) };
  return { ...told, [field]: row[field as "model" | "effort"] };
}

const words: Record<string, string> = { permission_mode: "permission mode", model: "model", effort: "effort" };

/** Tells a living process what was changed since it was started, or told last. Safe to repeat. */
export async function tellSettings(desk: SessionDesk, running: HeldProcess): Promise<void> {
  const { process } = running;
  const row = await sessionSettings(desk.deps.db, desk.session.id);
  const told = await processSettings(desk.deps.db, process.processId);
  if (told === null || !process.alive || running.ending) return;
  const mode = row.permission_mode ?? desk.launchMode;
  const id = (field: string) => `settings-${row.settings_seq}-${field}`;
  const lines: [string, string][] = [];
  if (told.mode_seq < row.mode_seq && !needsOtherProcess(told, mode)) {
    const named = `settings-${row.mode_seq}-permission_mode`;
    lines.push([setPermissionModeRequest(named, mode as PermissionMode), named]);
  }
  if (told.model !== row.model) lines.push([setModelRequest(id("model"), modelOf(desk, row)), id("model")]);
  if (told.effort !== row.effort) lines.push([setEffortRequest(id("effort"), effortOf(desk, row)), id("effort")]);
  for (const [line, lineId] of lines) await process.send(line, lineId, desk.soon());
}

/** It was started so that it cannot become what the session is set to. */
export async function isOutdatedBySettings(desk: SessionDesk, running: HeldProcess): Promise<boolean> {
  const told = await processSettings(desk.deps.db, running.process.processId);
  const row = await sessionSettings(desk.deps.db, desk.session.id);
  const wanted = { mode: row.permission_mode ?? desk.launchMode, modeSeq: row.mode_seq };
  return told !== null && isOutdated(told, wanted);
}

const modelOf = ({ session }: SessionDesk, row: Settings) => row.model ?? session.agent?.model.id ?? null;
const effortOf = ({ session }: SessionDesk, row: Settings) => row.effort ?? session.agent?.model.effort?.type ?? null;

function settingsOf({ permission_mode, model, effort }: SessionSettingsRow): Settings {
  return { permission_mode, model, effort };
}

function changed(
  row: SessionSettingsRow,
  settings: Settings,
  { launchMode, events }: { launchMode: string; events: NewEvent[] },
) {
  const before = settingsOf(row);
  if (isSame(before, settings)) return { events };
  // The mode that everybody knew without its being written down is no news.
  const isNews = !isSame({ ...before, permission_mode: before.permission_mode ?? launchMode }, settings);
  return { events: [...events, ...(isNews ? [settingsEvent(settings, launchMode)] : [])], session: settings };
}

function notRestored(text: string): NewEvent {
  return { type: "holdfast.notice", kind: "settings", level: "warning", text };
}
