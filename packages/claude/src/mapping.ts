import type { DraftFrame, NewEvent } from "@holdfast/protocol";
import { eventIdOf } from "./hash.ts";
import type { JsonObject } from "./json.ts";
import type { Signal } from "./signals.ts";
import type { MapperState } from "./state.ts";

export interface MapperContext {
  readonly sessionId: string;
  /** As the user knows the workspace: `/mnt/workspace`. */
  readonly workspaceMount: string;
  /** The words come from the scripted model. */
  readonly scripted: boolean;
}

export interface MapResult {
  readonly state: MapperState;
  /** In order; every one has its `id`. */
  readonly events: (NewEvent & { id: string })[];
  /** Live text, to be fanned out and not stored. */
  readonly drafts: DraftFrame[];
  readonly signals: Signal[];
  /** Why a line gave no event. Set exactly when `events` is empty. */
  readonly quiet?: string;
}

/** One line's mapping while it is made. */
export interface Mapping {
  readonly context: MapperContext;
  state: MapperState;
  readonly events: (NewEvent & { id: string })[];
  readonly drafts: DraftFrame[];
  readonly signals: Signal[];
  quiet: string | undefined;
}

export function beginMapping(state: MapperState, context: MapperContext): Mapping {
  return { context, state, events: [], drafts: [], signals: [], quiet: undefined };
}

/** Adds an event; without an id of its own it gets one from the line's place in the session. */
export function emit(mapping: Mapping, line: JsonObject | undefined, event: NewEvent): void {
  const uuid = typeof line?.uuid === "string" ? line.uuid : "";
  const { context, state, events } = mapping;
  const id = event.id ?? eventIdOf(context.sessionId, "line", state.lines, uuid, events.length);
  events.push({ ...event, id });
}

type NoticeEvent = Extract<NewEvent, { type: "holdfast.notice" }>;

export function notice(
  mapping: Mapping,
  line: JsonObject,
  fields: Pick<NoticeEvent, "kind" | "text"> & Partial<NoticeEvent>,
): void {
  emit(mapping, line, { level: "info", ...fields, type: "holdfast.notice" });
}
