import type { Todo } from "@holdfast/protocol";
import { eventIdOf } from "./hash.ts";

/** A text or thinking block that streams and is not an event yet. */
export interface DraftBlock {
  readonly index: number;
  readonly type: "text" | "thinking";
  readonly eventId: string;
  /** `event_start` was sent. */
  readonly started: boolean;
  /** First half of a surrogate pair whose second half comes with the next delta. */
  readonly held: string;
}

export interface Draft {
  readonly messageId: string;
  readonly blocks: readonly DraftBlock[];
  /** `message_delta` was seen: the stream came to its regular end. */
  readonly ended: boolean;
}

interface MessageEntry {
  readonly id: string;
  readonly epoch: number;
  readonly text: number;
  readonly thinking: number;
}

export interface ToolEntry {
  readonly id: string;
  readonly epoch: number;
  readonly uses: number;
  /** Its result has not come. */
  readonly open?: boolean;
  /** The tool call whose subagent made it. */
  readonly parent?: string;
  /** Of what it began, e.g. a subagent. */
  readonly taskId?: string;
  /** What it began goes on without it; absent: not known. */
  readonly background?: boolean;
  /** It reads or changes the list of what is to be done. */
  readonly todo?: TodoCall;
  /** It asks to be woken. */
  readonly wakeup?: WakeupCall;
  /** What it begins is no shell, whatever the CLI calls it. */
  readonly isMonitor?: boolean;
}

/** What a call that sets a wake-up, or takes one back, asked for, until its result says when that is. */
export interface WakeupCall {
  readonly tool: "ScheduleWakeup" | "CronCreate" | "CronDelete";
  readonly prompt: string;
  readonly reason: string;
  readonly cron: string | null;
}

export interface TodoCall {
  readonly tool: "TodoWrite" | "TaskCreate" | "TaskUpdate" | "TaskList";
  /** The words that an entry gets. */
  readonly subject?: string;
}

/** What runs in the background of a process. */
export interface TaskEntry {
  readonly id: string;
  readonly kind: "agent" | "shell" | "monitor" | "other";
  readonly description: string;
  /** Claude's id of the call that began it. */
  readonly toolUseId?: string;
}

/**
 * What the mapping remembers between lines of one session, over all its processes. Plain JSON: store it in the
 * transaction that stores the spool offset and the events. Immutable: `mapLine` gives a new one.
 */
export interface MapperState {
  readonly version: 1;
  /** Lines seen. */
  readonly lines: number;
  /** `system/init` lines seen: turns. */
  readonly epoch: number;
  readonly initialized: {
    readonly claudeSessionId: string;
    readonly model: string;
    readonly mode: string;
  } | null;
  /** Where the workspace's symlink leads, as learned from `init.cwd`; null when it is no symlink. */
  readonly volumeRoot: string | null;
  readonly messages: readonly MessageEntry[];
  readonly tools: readonly ToolEntry[];
  readonly draft: Draft | null;
  /** The CLI's running total at the last result; null before the first. */
  readonly totalCostUsd: number | null;
  /** Between `init` and `result`. */
  readonly inTurn?: boolean;
  /** The permission mode, as the process told it last; absent: it has not. */
  readonly mode?: string;
  /** The process has begun a turn. */
  readonly begun?: boolean;
  /** Live background tasks of the process. */
  readonly backgroundTasks?: number;
  /** Those of them that are known by name. */
  readonly tasks?: readonly TaskEntry[];
  /** What Claude notes of its work, over all processes. */
  readonly todos?: readonly Todo[];
  /** As the CLI tells it; absent: it does not. */
  readonly sessionState?: string;
  /** An agent has worked since the CLI was idle last: it is over only when it says so again. */
  readonly hadAgents?: boolean;
  /** What the CLI said last in its own words, and not the model's. */
  readonly localSaid?: string;
  /** The conversation was compacted, and what the model is told instead has not come. */
  readonly summaryComes?: boolean;
  /** Number of the next result of this process; absent when it is not known. */
  readonly nextResult?: number;
  /** The model's API refused the credential in this turn, with this status. */
  readonly authFailed?: number;
}

export function createMapperState(): MapperState {
  return {
    version: 1,
    lines: 0,
    epoch: 0,
    initialized: null,
    volumeRoot: null,
    messages: [],
    tools: [],
    draft: null,
    totalCostUsd: null,
    nextResult: 0,
  };
}

// Enough for links between lines that are near each other; a tool call's result and its subagent's lines are.
const maxMessages = 48;
const maxTools = 160;

/** The id of the next event of this type within a CLI message. The epoch keeps ids apart when a model repeats them. */
export function nextBlockId(
  state: MapperState,
  options: { sessionId: string; messageId: string; type: "text" | "thinking" },
): { state: MapperState; eventId: string } {
  const { sessionId, messageId, type } = options;
  const known = state.messages.find((entry) => entry.id === messageId);
  const entry = known ?? { id: messageId, epoch: state.epoch, text: 0, thinking: 0 };
  const others =
    known === undefined ? state.messages.slice(1 - maxMessages) : state.messages.filter((e) => e !== known);
  return {
    state: { ...state, messages: [...others, { ...entry, [type]: entry[type] + 1 }] },
    eventId: eventIdOf(sessionId, "block", messageId, entry.epoch, type, entry[type]),
  };
}

/** Notes a tool call and gives its event's id. */
export function addTool(
  state: MapperState,
  options: {
    sessionId: string;
    toolUseId: string;
    parent?: string | undefined;
    name?: string | undefined;
    wakeup?: WakeupCall | undefined;
    todo?: TodoCall | undefined;
  },
): { state: MapperState; eventId: string } {
  const { sessionId, toolUseId, parent, name, wakeup, todo } = options;
  const known = state.tools.find((entry) => entry.id === toolUseId);
  const entry: ToolEntry = {
    id: toolUseId,
    epoch: known?.epoch ?? state.epoch,
    uses: (known?.uses ?? 0) + 1,
    open: true,
    ...(parent === undefined ? {} : { parent }),
    ...(name === "Monitor" ? { isMonitor: true } : {}),
    ...(wakeup === undefined ? {} : { wakeup }),
    ...(todo === undefined ? {} : { todo }),
  };
  const others = known === undefined ? state.tools.slice(1 - maxTools) : state.tools.filter((e) => e !== known);
  return { state: { ...state, tools: [...others, entry] }, eventId: toolEventId(sessionId, entry) };
}

/** The event id of the tool call with Claude's id `toolUseId`; of a call never seen, the id it would have had. */
export function toolEvent(state: MapperState, sessionId: string, toolUseId: string): string {
  const known = state.tools.find((entry) => entry.id === toolUseId);
  return toolEventId(sessionId, known ?? { id: toolUseId, epoch: state.epoch, uses: 1 });
}

/** The event of the call whose subagent made this one; undefined when the main thread did, or it was not seen yet. */
export function toolParent(state: MapperState, sessionId: string, toolUseId: string): string | undefined {
  const parent = state.tools.find((entry) => entry.id === toolUseId)?.parent;
  return parent === undefined ? undefined : toolEvent(state, sessionId, parent);
}

/** Its result came. */
export function closeTool(state: MapperState, toolUseId: string): MapperState {
  const tools = state.tools.map((entry) => {
    if (entry.id !== toolUseId) return entry;
    const { wakeup: _wakeup, todo: _todo, ...rest } = entry;
    return { ...rest, open: false };
  });
  return { ...state, tools };
}

/** Tool calls without a result. */
export function openTools(state: MapperState): readonly ToolEntry[] {
  return state.tools.filter(({ open }) => open === true);
}

/** Whether a tool runs that the main thread waits for. */
export function hasOpenTool(state: MapperState): boolean {
  return openTools(state).some(({ parent }) => parent === undefined);
}

function toolEventId(sessionId: string, entry: ToolEntry): string {
  return eventIdOf(sessionId, "tool", entry.id, entry.epoch, entry.uses);
}
