import type { BackgroundTask } from "@holdfast/protocol";
import { shorten } from "./clip.ts";
import { asArray, asObject, asString, type JsonObject } from "./json.ts";
import { emit, type Mapping } from "./mapping.ts";
import { type MapperState, type TaskEntry, toolEvent } from "./state.ts";

const maxTasks = 100;
const maxDescriptionBytes = 500;

/** Agents that work in the background of the process. */
export function agentsIn(state: MapperState): number {
  return (state.tasks ?? []).filter(({ kind }) => kind === "agent").length;
}

/** Whether Claude works although no turn runs: an agent does, or what one has brought is still being looked at. */
export function worksOn(state: MapperState): boolean {
  return agentsIn(state) > 0 || state.hadAgents === true;
}

/** As the API has them. */
export function backgroundTasks(state: MapperState, sessionId: string): BackgroundTask[] {
  return (state.tasks ?? []).map(({ id, kind, description, toolUseId }) => ({
    id,
    kind,
    description,
    ...(toolUseId === undefined ? {} : { tool_use_id: toolEvent(state, sessionId, toolUseId) }),
  }));
}

/** All that runs in the background now. */
export function mapBackgroundTasks(mapping: Mapping, line: JsonObject): void {
  const all = asArray(line.tasks);
  const known = mapping.state.tasks ?? [];
  const tasks = all.slice(0, maxTasks).map((task) => taskOf(mapping.state, asObject(task), known));
  setTasks(mapping, tasks, all.length);
  for (const { toolUseId } of tasks) noteTool(mapping, toolUseId, { background: true });
  mapping.signals.push({ type: "background_tasks", count: all.length });
  mapping.quiet = "set of background tasks";
  if (!isSame(known, tasks)) tell(mapping, line);
}

/** The set comes first, and does not say which call began a task. */
export function noteTaskStart(mapping: Mapping, line: JsonObject): void {
  const id = asString(line.task_id);
  const toolUseId = asString(line.tool_use_id);
  noteTool(mapping, toolUseId, { taskId: id, background: line.is_backgrounded === true });
  const known = mapping.state.tasks ?? [];
  if (toolUseId === undefined || !known.some((task) => task.id === id && task.toolUseId === undefined)) return;
  const isMonitor = mapping.state.tools.some((tool) => tool.id === toolUseId && tool.isMonitor === true);
  const tasks = known.map((task): TaskEntry => {
    if (task.id !== id) return task;
    return { ...task, toolUseId, ...(isMonitor ? { kind: "monitor" } : {}) };
  });
  setTasks(mapping, tasks, mapping.state.backgroundTasks ?? tasks.length);
  tell(mapping, line);
}

export function mapSessionState(mapping: Mapping, line: JsonObject): void {
  const sessionState = asString(line.state) ?? "unknown";
  const hadAgents = sessionState !== "idle" && mapping.state.hadAgents === true;
  mapping.state = { ...mapping.state, sessionState, hadAgents };
  mapping.signals.push({ type: "session_state", state: sessionState });
  mapping.quiet = "session state";
}

function taskOf(state: MapperState, task: JsonObject, known: readonly TaskEntry[]): TaskEntry {
  const id = asString(task.task_id) ?? "";
  const before = known.find((each) => each.id === id);
  const description = shorten(asString(task.description) ?? before?.description ?? "", maxDescriptionBytes);
  const begunBy = state.tools.find((tool) => tool.taskId === id)?.id;
  const toolUseId = asString(task.tool_use_id) ?? before?.toolUseId ?? begunBy;
  const isMonitor = state.tools.some((tool) => tool.id === toolUseId && tool.isMonitor === true);
  const kind = isMonitor ? "monitor" : (kinds.get(asString(task.task_type) ?? "") ?? "other");
  return { id, kind, description, ...(toolUseId === undefined ? {} : { toolUseId }) };
}

function noteTool(
  mapping: Mapping,
  toolUseId: string | undefined,
  known: { taskId?: string | undefined; background: boolean },
): void {
  const { background, taskId } = known;
  const tools = mapping.state.tools.map((tool) =>
    tool.id === toolUseId ? { ...tool, background, ...(taskId === undefined ? {} : { taskId }) } : tool,
  );
  mapping.state = { ...mapping.state, tools };
}

const kinds = new Map<string, TaskEntry["kind"]>([
  ["local_agent", "agent"],
  ["local_bash", "shell"],
]);

function setTasks(mapping: Mapping, tasks: readonly TaskEntry[], count: number): void {
  const state: MapperState = { ...mapping.state, tasks, backgroundTasks: count };
  // Without word of its own state the CLI's set is all there is.
  const hadAgents = state.hadAgents === true || (agentsIn(state) > 0 && state.sessionState !== undefined);
  mapping.state = { ...state, hadAgents };
}

function tell(mapping: Mapping, line: JsonObject): void {
  const tasks = backgroundTasks(mapping.state, mapping.context.sessionId);
  emit(mapping, line, { type: "holdfast.background", tasks });
}

function isSame(a: readonly TaskEntry[], b: readonly TaskEntry[]): boolean {
  return a.length === b.length && a.every((task, at) => task.id === b[at]?.id && task.kind === b[at]?.kind);
}
