import type { Todo } from "@holdfast/protocol";
import { shorten } from "./clip.ts";
import { asArray, asObject, asString, type JsonObject } from "./json.ts";
import { emit, type Mapping } from "./mapping.ts";
import type { TodoCall } from "./state.ts";

const maxTodos = 200;
const maxContentBytes = 500;
const tools: readonly TodoCall["tool"][] = ["TodoWrite", "TaskCreate", "TaskUpdate", "TaskList"];

/** Undefined for every other tool, and for a subagent's own list. */
export function todoCall(name: string | undefined, line: JsonObject, input: JsonObject): TodoCall | undefined {
  const tool = tools.find((each) => each === name);
  if (tool === undefined || line.parent_tool_use_id != null) return undefined;
  const subject = asString(input.subject);
  return { tool, ...(subject === undefined ? {} : { subject: shorten(subject, maxContentBytes) }) };
}

/** The list after such a call; `value`: its `tool_use_result`. Whichever tools the CLI has, it is one list. */
export function noteTodos(
  mapping: Mapping,
  line: JsonObject,
  { call, value }: { call: TodoCall; value: unknown },
): void {
  const before = mapping.state.todos ?? [];
  const todos = after(before, call, asObject(value)).slice(0, maxTodos);
  if (JSON.stringify(todos) === JSON.stringify(before)) return;
  setTodos(mapping, line, todos);
}

/** Another conversation has a list of its own. */
export function clearTodos(mapping: Mapping, line: JsonObject): void {
  if ((mapping.state.todos ?? []).length > 0) setTodos(mapping, line, []);
}

function setTodos(mapping: Mapping, line: JsonObject, todos: Todo[]): void {
  mapping.state = { ...mapping.state, todos };
  emit(mapping, line, { type: "holdfast.todos", todos });
}

function after(before: readonly Todo[], { tool, subject }: TodoCall, result: JsonObject): Todo[] {
  if (tool === "TodoWrite") {
    if (!Array.isArray(result.newTodos)) return [...before];
    return result.newTodos.map((todo, at) => todoOf(String(at + 1), asObject(todo)));
  }
  if (tool === "TaskList") {
    if (!Array.isArray(result.tasks)) return [...before];
    return asArray(result.tasks).map((task, at) => todoOf(String(at + 1), asObject(task)));
  }
  if (tool === "TaskCreate") {
    const task = asObject(result.task);
    return asString(task.id) === undefined ? [...before] : [...before, todoOf(String(before.length + 1), task)];
  }
  const id = asString(result.taskId);
  const to = asString(asObject(result.statusChange).to);
  if (result.success !== true) return [...before];
  if (to === "deleted") return before.filter((todo) => todo.id !== id);
  return before.map((todo) =>
    todo.id === id ? { ...todo, content: subject ?? todo.content, status: statusOf(to ?? todo.status) } : todo,
  );
}

function todoOf(place: string, todo: JsonObject): Todo {
  const content = shorten(asString(todo.subject) ?? asString(todo.content) ?? "", maxContentBytes);
  return { id: asString(todo.id) ?? place, content, status: statusOf(asString(todo.status)) };
}

function statusOf(status: string | undefined): Todo["status"] {
  return status === "in_progress" || status === "completed" ? status : "pending";
}
